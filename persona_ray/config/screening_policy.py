"""The policy of screening: categories of calls, what is illegal, what becomes of each call."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from persona_ray.config.base import Section

# As records.Standing; the configuration imports nothing above it.
StandingName = Literal["normal", "abnormal", "illegal"]
# What may become of a call that is not illegal. `screen`: the robot goes on to its last turn;
# `end`: it says goodbye.
OnWanted = Literal["pass", "message"]
OnNormal = Literal["pass", "message", "screen"]
OnAbnormal = Literal["message", "screen", "end"]
OnNoAnswer = Literal["pass", "message", "screen", "reject"]

_STANDINGS: dict[str, StandingName] = {
    "impersonation_fraud": "illegal",
    "investment_fraud": "illegal",
    "prize_fraud": "illegal",
    "account_fraud": "illegal",
    "kidnapping_fraud": "illegal",
    "refund_fraud": "illegal",
    "promotion": "abnormal",
    "loans": "abnormal",
    "investment": "abnormal",
    "property": "abnormal",
    "education": "abnormal",
    "survey": "abnormal",
    "delivery": "normal",
    "ride": "normal",
    "appointment": "normal",
    "service": "normal",
    "personal": "normal",
    "other": "normal",
}
# Categories of TeleAntiFraud by what their calls are about; all of its frauds stay illegal.
_ALIASES = {
    "银行诈骗": "account_fraud",
    "钓鱼诈骗": "account_fraud",
    "客服诈骗": "account_fraud",
    "身份盗窃": "account_fraud",
    "邮件诈骗": "impersonation_fraud",
    "绑架诈骗": "kidnapping_fraud",
    "投资诈骗": "investment_fraud",
    "彩票诈骗": "prize_fraud",
    "打车服务": "ride",
    "外卖服务": "delivery",
    "预约服务": "appointment",
    "交通咨询": "service",
    "咨询客服": "service",
    "日常购物": "service",
    "订餐服务": "service",
}


class PolicyConfig(Section):
    """What becomes of a call by what it is about."""

    categories: dict[str, StandingName] = Field(
        _STANDINGS, description="standing of each category that the model knows"
    )
    aliases: dict[str, str] = Field(
        _ALIASES,
        description="what data sets call a category, and which of `categories` that is; a model "
        "that was trained on them answers in the policy's",
    )
    wanted: tuple[str, ...] = Field(
        ("delivery", "ride", "appointment"),
        description="categories that get through, for users who have not chosen",
    )
    on_wanted: OnWanted = Field("pass", description="pass or message: a category that is wanted")
    on_normal: OnNormal = Field(
        "message",
        description="pass, message or screen (to the last turn): normal, but not among the wanted",
    )
    on_abnormal: OnAbnormal = Field(
        "end", description="message, screen (to the last turn) or end (say goodbye): abnormal"
    )
    on_abnormal_voice: OnAbnormal = Field(
        "screen", description="message, screen or end: an abnormal voice, whatever it says"
    )
    ask_s: float = Field(
        20.0, gt=0, description="how long a user is asked about an abnormal number, in seconds"
    )
    on_no_answer: OnNoAnswer = Field(
        "screen", description="pass, message, screen or reject: the user was asked, and is silent"
    )
    sure: float = Field(
        0.85,
        gt=0.5,
        le=1,
        description="probability from which a category that is not illegal is acted on",
    )
    vague: tuple[str, ...] = Field(
        ("other",),
        description="categories that tell nothing: a call is not ended or passed for them",
    )
    pass_illegal_below: float = Field(
        0.05, ge=0, lt=1, description="probability of fraud from which on no call is passed"
    )
    false_hang_up_cost: float = Field(
        20.0, gt=0, description="cost of hanging up on a call that was not illegal"
    )
    fraud_turn_cost: float = Field(
        1.0, gt=0, description="cost of each further turn that an illegal caller is listened to"
    )
    turn_evidence: float = Field(
        1.0,
        ge=0,
        description="how far apart a further turn sets fraud and others, in standard deviations "
        "of its log-likelihood ratio (d')",
    )
    hysteresis: float = Field(
        0.25,
        ge=0,
        description="in log-odds: this far above the threshold of fraud one judgement is enough, "
        "nearer to it two in a row",
    )

    @model_validator(mode="after")
    def _aliases_lead_to_categories(self) -> Self:
        for alias, category in self.aliases.items():
            # The shipped ones are of use as far as their categories are there.
            if category not in self.categories and _ALIASES.get(alias) != category:
                raise ValueError(
                    f"aliases: '{alias}' leads to '{category}', which is none of `categories`: "
                    "name one that is, or add it there with its standing"
                )
        return self

    def name_of(self, category: str) -> str:
        """The policy's name of a category: its own where it is one, or no alias leads elsewhere."""
        return category if category in self.categories else self.aliases.get(category, category)
