"""What carries out updates of the weights: replicas in torch, or DeepSpeed ZeRO."""
