"""Seeds have names."""

import torch

from point_diffusion.common.seeds import derive_seed, generator


def test_seeds_have_names():
    assert derive_seed(1, "noise", 2) == derive_seed(1, "noise", 2)
    names = [(1, "noise", 2), (1, "order", 2), (2, "noise", 1), (12, "noise"), (1, "noise", 3)]
    assert len({derive_seed(*name) for name in names}) == len(names)


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(1234, "noise", 7) == 7166949153038435759
    assert min(derive_seed(i) for i in range(1000)) >= 0
    assert max(derive_seed(i) for i in range(1000)) < 2**63


def test_a_generator_can_be_made_again_and_disturbs_nobody():
    before = torch.get_rng_state()
    draws = [torch.randn(5, generator=generator(*name)) for name in ((1, "a"), (1, "a"), (1, "b"))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)
