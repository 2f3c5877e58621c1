"""What the method knows about text: prompts, answers and votes. Pure."""

from a1_trt.core.reasoning.answers import boxed, normalise, take_back
from a1_trt.core.reasoning.signs import plain
from a1_trt.core.reasoning.votes import count_votes, is_settled

__all__ = ["boxed", "count_votes", "is_settled", "normalise", "plain", "take_back"]
