"""NVIDIA's counters: nothing without a GPU; with one, the calls that the real module pynvml has."""

import pynvml
import pytest

from a1_trt.benchmarks.gpu import GPM, counting


class Driver:
    """pynvml's functions over made-up GPUs; everything else is the real module's, so a wrong name is an error."""

    def __init__(self, n_gpus, gpm=True):
        self.n_gpus, self.gpm = n_gpus, gpm
        self.time = 0
        self.samples = []
        self.shut = False

    def __getattr__(self, name):
        assert name.startswith(("NVML", "c_nvml")), f"{name} would ask a real driver"
        return getattr(pynvml, name)

    def nvmlInit(self):
        pass

    def nvmlShutdown(self):
        self.shut = True

    def nvmlDeviceGetCount(self):
        return self.n_gpus

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, device):
        return 1000 * (self.time + 10 * device)

    def nvmlGpmQueryDeviceSupport(self, device):
        said = pynvml.c_nvmlGpmSupport_t()
        said.isSupportedDevice = self.gpm
        return said

    def nvmlGpmSampleAlloc(self):
        self.samples.append(pynvml.c_nvmlGpmSample_t())
        return self.samples[-1]

    def nvmlGpmSampleGet(self, device, sample):
        assert any(sample is each for each in self.samples)

    def nvmlGpmSampleFree(self, sample):
        self.samples = [each for each in self.samples if each is not sample]

    def nvmlGpmMetricsGet(self, asked):
        assert asked.version == pynvml.NVML_GPM_METRICS_GET_VERSION
        for place in range(asked.numMetrics):
            asked.metrics[place].value = float(asked.metrics[place].metricId)
        return asked


@pytest.fixture
def driver(monkeypatch):
    def install(made):
        monkeypatch.setitem(__import__("sys").modules, "pynvml", made)
        return made

    return install


def test_nothing_is_counted_without_a_driver():
    with counting() as counters:
        pass
    assert (counters.energy_j, counters.gpus) == (None, [])


def test_gpus_are_counted_between_the_ends(driver):
    made = driver(Driver(2))
    with counting() as counters:
        made.time = 7
    assert counters.energy_j == 14.0
    wanted = {name: float(getattr(pynvml, f"NVML_GPM_METRIC_{said}")) for name, said in GPM.items()}
    assert counters.gpus == [wanted, wanted]
    assert made.shut
    assert made.samples == []


def test_before_hopper_energy_alone_is_counted(driver):
    made = driver(Driver(1, gpm=False))
    with counting() as counters:
        made.time = 3
    assert (counters.energy_j, counters.gpus) == (3.0, [])


def test_an_error_inside_frees_everything(driver):
    made = driver(Driver(1))
    with pytest.raises(ZeroDivisionError), counting():
        _ = 1 / 0
    assert made.shut
    assert made.samples == []
