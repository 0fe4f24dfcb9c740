#!/bin/sh
# The rules as Prometheus' operator reads them: sh prometheusrule.sh > prometheusrule.yaml
cd "$(dirname "$0")" || exit 1
cat <<'HEAD'
# Made of rules/ by prometheusrule.sh: change them there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: persona-ray
  labels: {app.kubernetes.io/part-of: persona-ray}
spec:
  groups:
HEAD
for file in rules/recording.yaml rules/alerts.yaml; do
  sed -n '/^  - name:/,$ s/^/  /p' "$file"
done
