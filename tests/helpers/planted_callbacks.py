"""Callbacks that tests plant into real runs: ``+callbacks.NAME._target_=helpers.planted_callbacks.CLASS``."""

import os
import signal
import sys
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger


class Witness(Callback):
    """Tells which epoch has begun, in a file."""

    def __init__(self, path):
        self.path = Path(path)

    def on_train_epoch_start(self, trainer, pl_module):
        self.path.write_text(str(trainer.current_epoch))


class Precision(Callback):
    """Tells how precise matrix products are while a training goes on, in a file."""

    def __init__(self, path):
        self.path = Path(path)

    def on_train_start(self, trainer, pl_module):
        self.path.write_text(torch.get_float32_matmul_precision())


class Steps(Callback):
    """Looks at each step, so that they are made one by one."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        assert trainer.global_step > 0


class Stop(Callback):
    """Ends a training after so many epochs, as a signal does."""

    of_whole_epochs = True

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch - 1:
            os.kill(os.getpid(), signal.SIGINT)


class Truncate(Callback):
    """Cuts a file short when an epoch has begun, as another program may do."""

    of_whole_epochs = True

    def __init__(self, path, size, epoch):
        self.path, self.size, self.epoch = path, size, epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            os.truncate(self.path, self.size)


class Ask(Callback):
    """Asks for the end of a training, in any hook."""

    def __init__(self, hook):
        setattr(self, hook, lambda trainer, *_: setattr(trainer, "should_stop", True))


class Fails(Callback):
    """Raises an error, in any hook, from an epoch on."""

    def __init__(self, hook, epoch=0):
        self.epoch = epoch
        setattr(self, hook, self._fail)

    def _fail(self, trainer, *_, **__):
        if trainer.current_epoch >= self.epoch:
            raise LookupError("need a foo")


class Exits(Callback):
    def __init__(self):
        sys.exit("I exit")


class Unreachable(CSVLogger):
    """As one whose server is not there."""

    def log_hyperparams(self, *_):
        raise ConnectionError("no server")


class Rescale(Callback):
    """Changes the weights, in any hook."""

    def __init__(self, hook):
        setattr(self, hook, self._rescale)

    def _rescale(self, trainer, pl_module):
        with torch.no_grad():
            for parameter in pl_module.parameters():
                parameter.mul_(0.5)


class LastPicture(Callback):
    """Has the process get a signal while its last picture is drawn."""

    def on_fit_end(self, trainer, pl_module):
        from point_diffusion.report import charts

        draw = charts.training_curves

        def interrupted(*curves):
            os.kill(os.getpid(), signal.SIGTERM)
            return draw(*curves)

        charts.training_curves = interrupted


class NeedsAPackage(CSVLogger):
    """As Lightning's are whose package is not installed."""

    def __init__(self, save_dir):
        try:
            import bogus  # noqa: F401
        except ImportError:
            raise ModuleNotFoundError("no package named bogus (pip install bogus)") from None


class FailsDeepWithin(Callback):
    """Says what is wrong far below what it is asked for."""

    def __init__(self):
        try:
            self.deeper()
        except ZeroDivisionError as error:
            raise RuntimeError("some call has failed") from error

    def deeper(self):
        raise ZeroDivisionError("the true cause")


def tells_of_each_step():
    """What a LambdaCallback calls."""

    def tell(*_):
        print("a step", flush=True)

    return tell


class Poison(Callback):
    """Spoils a weight after a step, so that what follows is non-finite."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == self.step:
            next(pl_module.parameters()).data.fill_(float("inf"))


class End(Callback):
    """Ends a training in one of several ways."""

    def __init__(self, how):
        self.how = how

    def on_train_epoch_end(self, trainer, pl_module):
        if self.how == "raise":
            raise ValueError("enough")
        if self.how == "exit":
            sys.exit(3)
        if self.how == "stop":
            raise KeyboardInterrupt
        if self.how == "signals":
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


class Recorder(Callback):
    """Keeps the weights after each step, and those that a validation sees; for a training in this process."""

    steps: list
    validations: list

    def on_train_start(self, trainer, pl_module):
        Recorder.steps, Recorder.validations = [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        Recorder.steps.append({k: v.clone() for k, v in pl_module.named_parameters()})

    def on_validation_batch_end(self, trainer, pl_module, *_):
        Recorder.validations.append((trainer.global_step, {k: v.clone() for k, v in pl_module.named_parameters()}))


class Plug(Callback):
    """Pulls itself out."""

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            raise RuntimeError("pulled")


class LatePlug(Callback):
    """Pulls itself out after the last epoch."""

    def on_fit_end(self, trainer, pl_module):
        raise RuntimeError("pulled")


class Preempted(Callback):
    """A launcher's signal handler, as submitit's, calls for an exit amid this callback."""

    def on_train_epoch_end(self, trainer, pl_module):
        exec("import sys; sys.exit(-1)", {"__name__": "submitit.core.job_environment"})
