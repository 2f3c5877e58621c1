"""The reasoning that may be shown while the samples are still at work."""

from __future__ import annotations

from a1_trt.types import Event, Parameters, Segment, SegmentScored, SegmentUnscored, SegmentWritten


class LeadingChain:
    """Follows the first sample whose text is decided on, and tells of it only what stays.

    A draft's segment is told once the target has let it stand, or as far as it has.

    Args:
        parameters: How the problem is solved.

    Attributes:
        sample: The leading sample, once there is one.
        told: What was told of it, always the beginning of its final text.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._open: dict[int, str] = {}
        self.sample: int | None = None
        self.told = ""

    def follow(self, event: Event) -> str:
        """What there is to add to the reasoning after an event; often nothing."""
        if isinstance(event, SegmentWritten):
            return self._written(event.sample, event.segment)
        if isinstance(event, SegmentScored):
            text = self._open.pop(event.sample, "")
            return self._tell(event.sample, text if event.kept is None else event.kept)
        if isinstance(event, SegmentUnscored):
            self._open.pop(event.sample, None)
        return ""

    def _written(self, sample: int, segment: Segment) -> str:
        if segment.role == "draft" and self._parameters.strategy == "a1":
            self._open[sample] = segment.text
            return ""
        return self._tell(sample, segment.text)

    def _tell(self, sample: int, text: str) -> str:
        if self.sample not in (None, sample):
            return ""
        self.sample = sample
        self.told += text
        return text
