"""Online p-values as the growing controllers make them."""

from a1_trt.core.conformal.controllers.pools import Pools


class Online(Pools):
    """Ranks a score first and lets it enter afterwards."""

    def judge(self, score, category, u):
        p_value = self.p_value(category, score, u)
        self.add(category, score)
        return p_value
