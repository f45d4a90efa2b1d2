"""Seeds have names."""

from point_diffusion.common.seeds import derive_seed


def test_seeds_have_names():
    assert derive_seed(1, "noise", 2) == derive_seed(1, "noise", 2)
    names = [(1, "noise", 2), (1, "order", 2), (2, "noise", 1), (12, "noise"), (1, "noise", 3)]
    assert len({derive_seed(*name) for name in names}) == len(names)
