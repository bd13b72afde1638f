"""The recipe: everything a run is asked to do, as one validated document (YAML, or a flow's parameters).

Every key is classed. *Identity* keys decide what the attempts are: two recipes that differ in one of them are two runs.
*Tunable* keys decide how much and how: changing them resumes the run. ``identity()`` is the first class alone.
A registry name and ``module:function`` are interchangeable wherever a source, strategy or verifier is named.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tracemill.schemas.ids import digest

_SECRET = re.compile(r"(?i)(api[-_]?key|token$|secret|password)")

TUNABLE: dict[str, Any] = {"tunable": True}


def _tunable(default: Any = ..., **kwargs: Any) -> Any:
    return Field(default, json_schema_extra=TUNABLE, **kwargs)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class SourceSpec(_Model):
    """Where problems come from. ``kind`` is a registered source (``reasoning_gym``, ``gsm8k``, ``file``, ``hub`` ...)."""

    kind: str = Field(description="a registered source, or module:function")
    path: str | None = Field(None, description="a file, folder or Hub data set id")
    subset: str | None = Field(None, description="the configuration of a Hub data set")
    split: str | None = Field(
        None, description="the split to read; problems of a test split stay out of training views"
    )
    revision: str | None = None
    family: str | None = Field(None, description="reasoning-gym: the family's name")
    size: int | None = Field(None, ge=1, description="reasoning-gym: how many problems")
    seed: int = 0
    options: dict[str, Any] = Field(default_factory=dict, description="reasoning-gym: the family's settings")
    map: dict[str, str] = Field(default_factory=dict, description="our column -> theirs, for file and hub")
    verifier: str | None = Field(None, description="verifier for these problems; the source's own where it has one")
    domain: str | None = None
    licence: str | None = None


class EngineSpec(_Model):
    """The model and who serves it. Keys come from the environment only (``api_key_env`` names the variable)."""

    kind: Literal["local", "vllm", "openai", "replay", "simulated", "none"] = "local"
    model: str | None = Field(None, description="model name or folder; the local engine has one built in")
    revision: str | None = None
    dtype: str | None = None
    licence: str | None = None
    base_url: str | None = _tunable(None, description="openai: the endpoint, e.g. http://127.0.0.1:8000/v1")
    api_key_env: str = _tunable("OPENAI_API_KEY", description="the environment variable that holds the key")
    executable: str | None = _tunable(None, description="vllm: the python or vllm executable of its environment")
    arguments: list[str] = _tunable(default_factory=list, description="vllm: more server arguments")
    environment: dict[str, str] = _tunable(default_factory=dict, description="vllm: more environment variables")
    tensor_parallel: int = _tunable(1, ge=1)
    concurrency: int = _tunable(256, ge=1, le=8192, description="most requests in flight")
    start_timeout: float = _tunable(900.0, gt=0, description="seconds until the server must be ready")
    request_timeout: float = _tunable(1800.0, gt=0, description="seconds a request may take")
    retries: int = _tunable(5, ge=0, le=20)
    threads: int = _tunable(1, ge=1, description="local: threads")
    price_in: float = _tunable(0.0, ge=0, description="US dollars per million prompt tokens")
    price_out: float = _tunable(0.0, ge=0, description="US dollars per million completion tokens")
    recording: str | None = _tunable(None, description="replay: a run folder or requests file to answer from")
    simulation: dict[str, float] = Field(default_factory=dict, description="simulated: success, step_error, ...")

    @model_validator(mode="after")
    def _no_secrets(self) -> EngineSpec:
        flags = [argument.split("=")[0] for argument in self.arguments if argument.startswith("--")]
        for name in [*self.environment, *flags]:
            if _SECRET.search(name):
                raise ValueError(
                    f"{name} looks like a secret, and a recipe is stored and published: set it in the environment"
                )
        return self


class SamplingSpec(_Model):
    temperature: float = Field(0.8, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    stop: list[str] = Field(default_factory=list)
    logprobs: bool = False
    seed: int = Field(0, ge=0)
    max_tokens: int = _tunable(2048, ge=1)


class TemplateSpec(_Model):
    """A shipped template by ``name``; the other keys change it."""

    name: str = "cot"
    user: str | None = None
    system: str | None = None
    route: Literal["chat", "completion"] | None = None
    shots: list[tuple[str, str]] | None = Field(None, description="worked examples: [question, answer]")
    prefill: str | None = None


class StrategySpec(_Model):
    kind: str = Field("samples", description="a registered strategy, or module:function")
    n: int = _tunable(4, ge=1, le=4096, description="attempts per problem")
    parameters: dict[str, Any] = Field(default_factory=dict)


class VerifierSpec(_Model):
    """Options for the problems' own verifier, by name, or one more verifier to run (``module:function``)."""

    kind: str
    options: dict[str, Any] = Field(default_factory=dict)
    time_limit: float | None = Field(None, gt=0, description="seconds per candidate")
    all_problems: bool = Field(False, description="run on every trace, not only where a problem names it")


class ViewsSpec(_Model):
    """What a trainer loads: which views, and what is kept in them."""

    names: list[Literal["sft", "all", "unverified_mix", "rl", "streams"]] = ["sft", "all", "unverified_mix", "rl"]
    cap: int = Field(10, ge=1, description="most kept traces per problem (ReST-EM's 10)")
    validation: float = Field(0.0, ge=0, lt=1, description="share of problem clusters in the validation split")
    pass_rate: tuple[float, float] = Field((0.0, 1.0), description="rl: problems whose pass rate lies inside")
    include_test: bool = Field(False, description="let a benchmark's test split into training views")
    tokenizer: str | None = Field(None, description="a tokenizer folder or Hub id, or 'local'; adds tokenized forms")
    mined: list[Literal["corrections", "splices", "preference", "step_preference", "unpaired", "stepwise"]] = Field(
        ["corrections", "splices", "preference", "step_preference", "unpaired", "stepwise"],
        description="views of what was mined; built where there is a mining section",
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="longer splices are left out of their tokenized form, for a trainer would cut their answer",
    )

    @model_validator(mode="after")
    def _band(self) -> ViewsSpec:
        low, high = self.pass_rate
        if not 0 <= low <= high <= 1:
            raise ValueError("pass_rate must be [low, high] with 0 <= low <= high <= 1")
        return self


class BudgetSpec(_Model):
    """Stop asking when this much was spent; what is finished stays."""

    tokens: int | None = Field(None, ge=1)
    usd: float | None = Field(None, gt=0)


class RolloutSpec(_Model):
    """Step labels from fresh continuations of a trace's prefixes, each verified.

    ``omega`` finds the first wrong step of wrong traces by binary search; ``shepherd`` labels every step of any trace.
    """

    method: Literal["omega", "shepherd"] = "omega"
    engine: EngineSpec | None = Field(None, description="who continues; the recipe's own engine by default")
    k: int = Field(8, ge=1, le=1024, description="continuations of each prefix")
    traces: int = Field(2, ge=1, description="most traces of one problem")
    steps: int = Field(64, ge=2, description="traces of more steps are left out")
    temperature: float = Field(0.8, gt=0, le=2)
    max_tokens: int = Field(1024, ge=1)
    budget: BudgetSpec = BudgetSpec()


class StepJudgeSpec(_Model):
    """A model asked for the first wrong step of wrong traces."""

    engine: EngineSpec | None = Field(None, description="whom to ask; the recipe's own engine by default")
    votes: int = Field(1, ge=1, le=64, description="judgements of each trace")
    agreeing: int = Field(1, ge=1, le=64, description="fewest of them that must say the same")
    traces: int = Field(2, ge=1, description="most traces of one problem")
    steps: int = Field(64, ge=2, description="traces of more steps are left out")
    temperature: float = Field(0.8, ge=0, le=2)
    max_tokens: int = Field(1024, ge=1)
    budget: BudgetSpec = BudgetSpec()

    @model_validator(mode="after")
    def _enough(self) -> StepJudgeSpec:
        if self.agreeing > self.votes:
            raise ValueError("agreeing must not be more than votes")
        return self


class ScorerSpec(_Model):
    """Who says how likely mined texts are: an engine that gives log-probabilities of a text, and its tokenizer."""

    engine: EngineSpec
    tokenizer: str | None = Field(
        None, description="of the engine's model: a folder or Hub id, or 'local'; engine.model where left out"
    )
    sample: int = Field(256, ge=1, description="most pairs, and most splices, that are scored")


class MiningSpec(_Model):
    """What the failures of a run are made into: pairs of a wrong attempt and its correction, and what is built on them.

    A pair is drawn with a weight of exp(alpha * gain in value + beta * similarity).
    """

    seed: int = Field(0, ge=0)
    alpha: float = Field(1.0, ge=0, le=100, description="weight of the gain in value")
    beta: float = Field(4.0, ge=0, le=100, description="weight of the similarity")
    candidates: int = Field(4, ge=1, le=64, description="right attempts that each wrong one is compared with")
    pairs_per_problem: int = Field(16, ge=1, description="most pairs of one problem")
    uses_per_trace: int = Field(2, ge=1, description="most pairs that one attempt is in")
    controls: float = Field(0.2, ge=0, le=0.9, description="share of right attempts that are to stay as they are")
    same_policy: bool = Field(True, description="both attempts by the same policy")
    round_gap: int = Field(1, ge=0, description="most rounds between the two attempts")
    make: list[Literal["splices", "preferences", "siblings", "turns", "chains", "selections", "critiques"]] = Field(
        ["splices", "preferences", "siblings", "turns", "chains", "selections", "critiques"],
        description="what is made beside the pairs",
    )
    splices_per_problem: int = Field(4, ge=1, description="most splices, and as many controls")
    detours: float = Field(0.4, ge=0, lt=1, description="chance that a splice has one more detour")
    random_cuts: float = Field(
        0.0, ge=0, le=0.2, description="share of splices that may be cut where no error is verified"
    )
    turns_per_problem: int = Field(2, ge=1, description="most repair conversations")
    chain_turns: int = Field(5, ge=3, le=16, description="most attempts of a chain of repairs")
    selections_per_problem: int = Field(1, ge=1, description="most groups to select from")
    on_policy_share: float = Field(0.9, ge=0, le=1, description="fewest pairs on policy for the set to be published")
    scorer: ScorerSpec | None = Field(
        None, description="measures ignore_index and seam_surprisal; without one they are unmeasured"
    )
    waive: list[str] = Field(default_factory=list, description="checks that may be unmeasured in what is published")
    execute: bool = Field(False, description="run the programs in the steps of wrong traces, in the sandbox")
    rollouts: RolloutSpec | None = Field(None, description="step labels by rolling out; {} for the defaults")
    judge: StepJudgeSpec | None = Field(None, description="first errors as a model sees them; {} for the defaults")


class SanitySpec(_Model):
    """Problems of programs are tried themselves first: reference, trivial programs, faults put into the reference."""

    enabled: bool = True
    mutants: int = Field(12, ge=0, le=1000, description="faults that are put into each reference solution")
    threshold: float = Field(0.5, ge=0, le=1, description="least share of them that sound tests notice")


class _Document(_Model):
    """A whole recipe, of either kind."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]

    def identity(self) -> dict[str, Any]:
        """The identity keys and their values, nested as in the recipe."""
        return _identity(self)

    @property
    def identity_hash(self) -> str:
        return digest("recipe", self.identity())

    @property
    def recipe_hash(self) -> str:
        return digest("recipe", self.model_dump(mode="json"))


class Recipe(_Document):
    """What ``tracemill run`` is asked to do."""

    problems: list[SourceSpec] = Field(min_length=1)
    engine: EngineSpec = EngineSpec()
    template: TemplateSpec = TemplateSpec()
    sampling: SamplingSpec = SamplingSpec()
    strategy: StrategySpec = StrategySpec()
    round: int = Field(0, ge=0)
    limit: int | None = _tunable(None, ge=1, description="at most so many problems")
    baseline: bool = _tunable(True, description="print the question-blind baseline beside the pass rate")
    shard_size: int = _tunable(256, ge=1, description="problems per shard")
    shards_in_flight: int = _tunable(4, ge=1)
    verifiers: list[VerifierSpec] = _tunable(default_factory=list)
    verifier_workers: int | None = _tunable(None, ge=1, description="worker processes; one per core by default")
    recheck: float = _tunable(
        0.01, ge=0, le=1, description="share of the verdicts that are given twice, to find flaky ones"
    )
    sanity: SanitySpec = _tunable(SanitySpec())
    mining: MiningSpec | None = _tunable(None, description="make learning data of the failures; {} for the defaults")
    views: ViewsSpec = _tunable(ViewsSpec())
    budget: BudgetSpec = _tunable(BudgetSpec())
    orchestrator: Literal["prefect", "none"] = _tunable(
        "prefect", description="none runs the same shards without Prefect"
    )

    @model_validator(mode="after")
    def _greedy(self) -> Recipe:
        if self.sampling.temperature == 0 and self.strategy.n > 1:
            raise ValueError(
                "temperature 0 gives the same text n times: set strategy.n to 1 or sampling.temperature above 0"
            )
        return self


def _identity(model: BaseModel) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get("tunable"):
            continue
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            kept[name] = _identity(value)
        elif isinstance(value, list):
            kept[name] = [_identity(v) if isinstance(v, BaseModel) else v for v in value]
        else:
            kept[name] = value
    return kept


class ImportRecipe(_Document):
    """What ``tracemill import`` is asked to do: existing traces, checked and curated as any run.

    ``problems`` gives the problems that the traces answer where the files do not carry prompt and gold themselves.
    """

    files: list[str] = Field(min_length=1)
    format: str = Field(description="a registered trace format, or module:function")
    map: dict[str, str] = Field(default_factory=dict, description="our column -> theirs")
    problems: list[SourceSpec] = Field(default_factory=list)
    model: str | None = Field(None, description="the policy, where the files do not name it")
    verifier: str | None = Field(None, description="the verifier of problems that come with the traces")
    verifiers: list[VerifierSpec] = _tunable(default_factory=list)
    verifier_workers: int | None = _tunable(None, ge=1)
    recheck: float = _tunable(
        0.01, ge=0, le=1, description="share of the verdicts that are given twice, to find flaky ones"
    )
    sanity: SanitySpec = _tunable(SanitySpec())
    mining: MiningSpec | None = _tunable(None, description="make learning data of the failures; {} for the defaults")
    views: ViewsSpec = _tunable(ViewsSpec())
    baseline: bool = _tunable(True)
