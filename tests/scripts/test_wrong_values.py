"""Wrong values end in one line for each, exit code 2, and nothing made."""

import re

import pytest
import torch

BAD = {
    "num_step=0": "num_step=0: must be an integer of at least 1",
    "num_step=abc": "num_step=abc: must be an integer of at least 1",
    "num_step=": "num_step='': must be an integer of at least 1",
    "num_step=20,50": "num_step=20,50: several values need -m",
    "model.num_unit=256": "model.num_unit=256: no such key; did you mean model.num_units?",
    "schedule=sigmoyd": "schedule=sigmoyd: must be one of .*sigmoid.*; did you mean sigmoid?",
    "accelerator=tpu": "accelerator=tpu: must be one of auto, cpu, gpu, cuda, mps",
    "trainer.max_epochs=-3": "trainer.max_epochs=-3: must be an integer of at least 1",
    "data.num_points=1": "data.num_points=1: must be an integer of at least 2",
    "data.batch_size=0": "data.batch_size=0: must be an integer of at least 1",
    "optimizer.lr=-1": "optimizer.lr=-1: must be a number above 0",
    "ckpt_path=nowhere.ckpt": "ckpt_path=nowhere.ckpt: no such file",
    "resume=nowhere": "resume=nowhere: no such file",
    "schedule.beta_start=0": "schedule.beta_start=0: must be a number above 0 and below 1",
    "schedule.beta_end=1": "schedule.beta_end=1: must be a number above 0 and below 1",
    "schedule.beta_start=0.1": "schedule.beta_start=0.1: must be at most beta_end, 0.005",
    "sampler.num_inference_steps=0": "sampler.num_inference_steps=0: must be an integer of at least 1 or null",
    "module.prediction_type=score": "module.prediction_type=score: must be one of epsilon, sample, v_prediction",
    "schedule.alphas_cumprod_end=0": "schedule.alphas_cumprod_end=0: must be a number of at least 1e-30",
    "schedule.alphas_cumprod_end=1.0": "schedule.alphas_cumprod_end=1.0: must be a number of at least 1e-30",
    "schedule.betas=[0.1]": r"schedule.betas=\[0.1]: no such key",
    "sampler.eta=0.5": "sampler.eta=0.5: no such key",
    "sampler.start=middle": "sampler.start=middle: must be one of normal, matched",
    "trainer.devices=400": "trainer.devices=400: must be at most .*cores",
    "sampler.num_inference_steps=101": "sampler.num_inference_steps=101: must be at most num_step, 100",
    "+trainer.max_epoch=3": "trainer.max_epoch=3: no such argument of Trainer; did you mean trainer.max_epochs?",
    "+trainer.max_time=7": "trainer.max_time=7: must be DD:HH:MM:SS",
    "+optimizer.beta=1": "optimizer.beta=1: no such argument of Adam",
    "+data.foo=1": "data.foo.*: no such key",
    "data=7": "data=7: must be one of blobs, checkerboard, circles, file, ",
    "schedule.name=cosine": "schedule.name=cosine: .*; choose it by schedule=NAME",
    "sampler.name=ddim": "sampler.name=ddim: .*; choose it by sampler=NAME",
    "schedule=[linear,cosine]": "schedule.name=cosine: .*; choose it by schedule=NAME",
    "num_step=1000000000000": "num_step=1000000000000: must be an integer of at least 1 and of at most 100000",
    "~seed": "seed: must be given, an integer of at least 0",
    "~trainer.max_epochs": "trainer.max_epochs: must be given",
    "+num_steps=5": "num_steps: no such key; did you mean num_step",
    "trainer.devices=[3]": r"trainer.devices=\[3]: must be indices of the 0 GPUs",
    "trainer.devices=true": "trainer.devices=true: must be a number of processes",
    "trainer.num_nodes=2": "trainer.num_nodes=2: its processes must be started by torchrun or srun",
    "+trainer.strategy=ddp": "trainer.strategy=ddp: not here; use trainer.devices=N",
    "+trainer.barebones=true": "trainer.barebones=true: not here",
    "+trainer.logger=true": "trainer.logger=true: not here; use logger=",
    "+trainer.limit_train_batches=-1": "trainer.limit_train_batches=-1: ",
    "+optimizer.weight_decay=-1": "optimizer.weight_decay=-1: Invalid weight_decay",
    "+callbacks.foo=1": "callbacks.foo=1: must be a section with a _target_",
    "data.noise=1e300": "data.noise=1e[+]300: must be a number of at least 0 and of at most 1000",
    "seed='1234'": "seed='1234': must be an integer",
    "resume=": "resume='': must be a text or null",
    "resume=???": "resume: must be given, a text or null",
    "callbacks.ema=???": "callbacks.ema: must be given",
    "hydra.run.dir=???": "hydra.run.dir: must be given",
    "hydra.run.dir=": "hydra.run.dir: must be given",
    "hydra.job.name=": "hydra.job.name=: must be a plain name",
    "hydra.output_subdir=???": "hydra.output_subdir=???: must be .hydra",
    "ckpt_path=???": "ckpt_path: must be given, a text or null",
    "float32_matmul_precision=low": "float32_matmul_precision=low: must be one of highest, high, medium",
    "trainer.precision=bf16-true": "trainer.precision=bf16-true: must be one of 32-true, 16-mixed, bf16-mixed",
    "hydra.output_subdir=../..": "hydra.output_subdir=../..: must be .hydra",
    "hydra.output_subdir=null": "hydra.output_subdir=null: must be .hydra",
    "hydra.job.chdir=true": "hydra.job.chdir=true: must be false",
    "hydra.job.name=../x": "hydra.job.name=../x: must be a plain name",
    "--nothing": "unrecognized arguments: --nothing; KEY=VALUE changes a setting",
    "--cfg=jobs": "--cfg/-c: invalid choice: 'jobs'",
    "--experimental-rerun=x": "--experimental-rerun=x: not here, it would execute what is in the file",
    "data.shape=a\nb": r"'data.shape=a\\nb': must not hold line breaks",
    "callbacks.reconstruction.style=/etc/passwd": "style=/etc/passwd: must be a matplotlib style",
    "+optimizer.differentiable=true": "optimizer.differentiable=true: must be false",
    "+trainer.num_sanity_val_steps=2": "trainer.num_sanity_val_steps=2: not here",
    "+trainer.plugins=[]": r"trainer.plugins=\[\]: not here",
    "+trainer.min_epochs=9": "trainer.min_epochs=9: not here; use trainer.max_epochs",
    "trainer.devices=1.0": "trainer.devices=1.0: must be a number of processes",
    "+trainer.limit_val_batches=0.5": "trainer.limit_val_batches=0.5: is not one batch, there are 1",
    "+trainer.limit_train_batches=0.01": "trainer.limit_train_batches=0.01: is not one batch, there are 20",
    "+trainer.log_every_n_steps=abc": "trainer.log_every_n_steps=abc: must be an integer",
    "+trainer.accumulate_grad_batches=1.5": "trainer.accumulate_grad_batches=1.5: must be an integer",
    "+trainer.inference_mode=abc": "trainer.inference_mode=abc: must be true or false",
    "+trainer.deterministic=abc": "trainer.deterministic=abc: must be true or false",
    "+logger.tensorboard.foo=1": "logger.tensorboard._target_=.*Logger: got an unexpected keyword argument 'foo'",
    "~logger.tensorboard._target_": "logger.tensorboard=.*: must be a section with a _target_",
    "+logger.name=x": "logger.name=x: must be a section with a _target_; logger._target_=... is one of your own",
    "logger._target_=os.getcwd": "logger._target_=os.getcwd: must be a Logger of Lightning's",
    "logger.tensorboard.name=../x": "logger.tensorboard.name=../x: must be a plain name",
    "logger.tensorboard.version=/tmp/x": "logger.tensorboard.version=/tmp/x: must be a plain name",
    "+callbacks.x._target_=nowhere.Class": "callbacks.x._target_=nowhere.Class: can't be imported",
    "+callbacks.x._target_=os.getcwd": "callbacks.x._target_=os.getcwd: must be a Callback of Lightning's",
    "logger.tensorboard.name=${nowhere}": "logger.tensorboard.name: Interpolation key 'nowhere' not found",
    "=5": "=5: must be KEY=VALUE",
    "nonsense": "nonsense: must be KEY=VALUE",
}


def assert_refused(done, folder):
    """One line on stderr, exit code 2, and nothing made."""
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_ends_in_one_line_and_leaves_nothing(script, tmp_path, argument):
    done = script("train", argument, check=False)
    assert_refused(done, tmp_path)
    assert re.search(BAD[argument].replace("?", "[?]"), done.stderr)


BAD_TOGETHER = {
    "sampler=ddim sampler.eta=1.5": "sampler.eta=1.5: must be a number of at least 0 and of at most 1",
    "schedule=betas num_step=3 schedule.betas=[0.1,0.2]": "schedule.betas: there are 2, must be num_step, 3",
    "schedule=betas num_step=2 schedule.betas=[0.1,1.2]": "schedule.betas=[0.1, 1.2]: must be numbers above 0",
    "schedule=betas": "schedule.betas: must be given, numbers above 0 and below 1",
    "schedule=cosine sampler=ddim": "sampler=ddim: DDIM in 100 steps needs x_0, which epsilon can't",
    "schedule=cosine sampler=dpm_solver": "module.prediction_type=v_prediction, or sampler=ddpm",
    "num_step=3000 schedule.beta_end=0.7": "x_T holds 0 of the signal, less than can be computed with",
    "-m seed=range(0,1000000000)": "-m: asks for more than 10,000 jobs",
    "-m seed=1,2 hydra.sweep.subdir=../x": "hydra.sweep.subdir=../x: must stay in the sweep's folder",
    "schedule=cosine sampler.num_inference_steps=1": "DDPM in 1 step needs x_0, which epsilon can't say",
}


@pytest.mark.parametrize("arguments", BAD_TOGETHER)
def test_values_that_do_not_go_together_are_refused(script, tmp_path, arguments):
    done = script("train", *arguments.split(), check=False)
    assert_refused(done, tmp_path)
    assert BAD_TOGETHER[arguments] in done.stderr


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("run=nowhere", "run=nowhere: no such file or run folder"),
        ("num_samples=1", "num_samples=1: must be an integer of at least 2"),
        ("sampler=euler", "sampler=euler: must be one of ddim, ddpm, deis, dpm_solver, heun, mean_flow, unipc"),
        ("num_sample=9", "num_sample=9: no such key; did you mean num_samples?"),
        ("num_samples=1e3", "num_samples=1000.0: must be an integer"),
        ("curve=maybe", "curve=maybe: must be true or false"),
        ("curve_steps=abc", "curve_steps=abc: must be integers of at least 1"),
        ("curve_steps=[]", "curve_steps=[]: must be integers of at least 1"),
        ("sampler.eta=abc", "sampler.eta=abc: must be a number"),
        ("sampler.num_inference_steps=2.5", "sampler.num_inference_steps=2.5: must be an integer"),
        ("+foo=1", "foo: no such key"),
        ("~curve", "curve: must be given"),
        ("-m", "-m: sweeps are for train.py"),
        ("hydra.run.dir=elsewhere", "hydra.run.dir=elsewhere: Hydra's own settings are for train.py"),
        ("hydra={output_subdir:x}", "hydra={output_subdir:x}: Hydra's own settings are for train.py"),
        ("hydra/job_logging=default", "hydra/job_logging=default: Hydra's own settings are for train.py"),
        ("seed=0", "run: must be given, no run has finished"),
    ],
)
def test_evaluate_refuses_in_one_line(script, tmp_path, argument, message):
    done = script("evaluate", argument, check=False)
    assert_refused(done, tmp_path)
    assert message in done.stderr


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(script, tmp_path):
    done = script("train", "accelerator=gpu", check=False)
    assert done.returncode == 2
    assert done.stderr == "error: accelerator=gpu: there is none on this machine; must be one of auto, cpu\n"
    assert list(tmp_path.rglob("*")) == []


FEW_CALLS = "sampler.num_inference_steps=30: must be at most num_step,"


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (["-m", "seed=1,2", "optimizer.lr=-1", "data.batch_size=x"], ["data.batch_size=x", "optimizer.lr=-1"]),
        (["experiment=wings", "num_step=10"], [f"{FEW_CALLS} 10"]),
        (["-m", "experiment=quick", "num_step=10,20"], [f"{FEW_CALLS} 10", f"{FEW_CALLS} 20"]),
        (["experiment=search", "data.batch_size=0"], ["data.batch_size=0: must be"]),
    ],
)
def test_what_is_wrong_with_all_jobs_is_refused_before_the_sweep(script, tmp_path, asked, wrong):
    done = script("train", *asked, check=False)
    assert done.returncode == 2
    assert [each for each in wrong if f"error: {each}" not in done.stderr] == []
    assert len(done.stderr.splitlines()) == len(wrong)
    assert list(tmp_path.rglob("*")) == []


def test_jobs_of_a_search_cannot_be_listed(script, tmp_path):
    done = script("train", "experiment=search", "-m", "--cfg", "job", check=False)
    assert_refused(done, tmp_path)
    assert "a search" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["num_step=0", "data.batch_size=x", "optimizer.lr=-1", "accelerator=tpu", "ckpt_path=nowhere.ckpt"],
        ["num_step=abc", "trainer.devices=0", "+trainer.logger=x"],
        ["+optimizer.weight_decay=-1", "sampler.num_inference_steps=101", "resume=nowhere"],
    ],
)
def test_all_wrong_values_are_named(script, tmp_path, wrong):
    done = script("train", *wrong, check=False)
    assert done.returncode == 2
    if wrong[-1] != "resume=nowhere":  # whose settings decide on the rest
        assert [each for each in wrong if each.lstrip("+") not in done.stderr] == []
        assert len(done.stderr.splitlines()) == len(wrong)
    assert list(tmp_path.rglob("*")) == []


def test_a_key_that_is_not_there_is_named_before_wrong_values(script, tmp_path):
    done = script("train", "num_step=0", "model.num_unit=256", check=False)
    assert_refused(done, tmp_path)
    assert "model.num_unit=256: no such key" in done.stderr
