"""The models of assistance as a configuration names them, loaded for one replica."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.apps.bundles import choose_of_assist, find_bundle
from persona_ray.serving.assist.models import ADVISOR, EARS, Models

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.inference.assist.emotion.combine import MoodReader
    from persona_ray.inference.assist.ranking import ScriptRanker
    from persona_ray.serving.deploy.stages import BundleChoice


@dataclass(frozen=True, slots=True)
class AssistBundles:
    """What is served; None: the lexicon alone, or BM25, answers."""

    emotion: BundleChoice | None
    ranker: BundleChoice | None

    def __str__(self) -> str:
        found = [_named(self.emotion, "the lexicon of emotions"), _named(self.ranker, "BM25")]
        return " and ".join(found)


def choose_bundles(config: RunConfig) -> AssistBundles:
    """Those of assist.emotion.bundle and assist.ranker.bundle, else the registry's champions, else
    the workspace's. Raises as `choose_bundle` does."""
    from persona_ray.launch.assist import emotion, ranker

    assist = config.assist
    return AssistBundles(
        choose_of_assist(
            config,
            assist.emotion.name,
            assist.emotion.bundle,
            config.workspace / emotion.FOLDER / emotion.BUNDLE,
        ),
        choose_of_assist(
            config,
            assist.ranker.name,
            assist.ranker.bundle,
            config.workspace / ranker.FOLDER / ranker.BUNDLE,
        ),
    )


@dataclass(frozen=True, slots=True)
class LoadModels:
    """Loads models in a replica; the bundles are the same in all of them."""

    bundles: AssistBundles

    def __call__(self, config: RunConfig, wanted: Collection[str]) -> Models:
        """Those of `wanted`. Raises EngineUnavailableError, BundleError, ConfigError."""
        from persona_ray.inference.assist.advisor import ModelAdvisor
        from persona_ray.inference.assist.ears import build_ears

        names: dict[str, str] = {}
        ears = build_ears(config) if EARS in wanted else None
        if ears is not None:
            names[EARS] = ears.name
        advisor = None
        if ADVISOR in wanted:
            moods, ranker = self._moods(config), self._ranker(config)
            _warm(config, moods, ranker)
            advisor = ModelAdvisor(moods, ranker, config.assist.choice)
            names |= advisor.names
        return Models(names, ears, advisor)

    def _moods(self, config: RunConfig) -> MoodReader:
        from persona_ray.inference.assist.emotion.combine import MoodReader, Weights
        from persona_ray.inference.assist.emotion.lexicon import load_lexicon
        from persona_ray.inference.assist.emotion.model import EmotionReader

        emotion, chosen = config.assist.emotion, self.bundles.emotion
        model = None
        if chosen is not None:
            bundle = find_bundle(config, chosen)
            model = EmotionReader.load(bundle, f"{chosen.name} {chosen.version}")
        return MoodReader(load_lexicon(emotion.lexicon), model, Weights(emotion.lexicon_weight))

    def _ranker(self, config: RunConfig) -> ScriptRanker:
        from persona_ray.inference.assist.ranking import Bm25Ranker, TowerRanker

        chosen = self.bundles.ranker
        if chosen is None:
            return Bm25Ranker()
        return TowerRanker.load(find_bundle(config, chosen), f"{chosen.name} {chosen.version}")


def _warm(config: RunConfig, moods: MoodReader, ranker: ScriptRanker) -> None:
    """What is computed once, such as the scripts' side, no customer is to wait for."""
    from persona_ray.conversation import Relation, Scene, Speaker, Tone
    from persona_ray.inference.assist.library import load_library
    from persona_ray.inference.assist.records import Sentence, SpeechInformation

    steps = config.assist.steps
    said = Sentence(Speaker.CUSTOMER, "您好", 0.0, 1.0, Tone())
    heard = SpeechInformation(said, Scene("", steps[0]), Relation.STATEMENT, moods.mood(said))
    ranker.targets(heard, load_library(config.assist.library, steps))


def _named(chosen: BundleChoice | None, without: str) -> str:
    return without if chosen is None else f"{chosen.name} {chosen.version} ({chosen.reference})"
