"""Claims of the guide against physics."""

import pytest

from planner import claims

CODER = "Qwen/Qwen2.5-Coder-32B-Instruct"


@pytest.fixture(scope="module")
def verdicts(records):
    return claims.audit(records).set_index("id")


def test_every_claim_has_a_verdict_and_a_reason(verdicts):
    assert set(verdicts["verdict"]) <= set(claims.VERDICTS)
    assert (verdicts["reason"].str.len() > 0).all()


def test_the_guides_speed_of_a_dense_32b_is_excluded_by_physics(verdicts):
    row = verdicts.loc["guide.coder32b.decode_tok_s"]
    assert row["verdict"] == "impossible"
    assert (row["claimed_low"], row["claimed_high"]) == (8, 12)
    assert 2.2 < row["limit"] < 2.5  # 2 x 76.8 GB/s over 64 GB
    assert row["predicted"] < row["limit"]


def test_deepseek_v3_does_not_fit_where_the_guide_puts_it(verdicts):
    assert verdicts.loc["guide.v3.memory_gb.bf16", "verdict"] == "impossible"
    assert verdicts.loc["guide.v3.memory_gb.bf16", "limit"] == pytest.approx(1342, rel=0.01)


def test_true_claims_are_consistent(verdicts):
    for name in ("guide.v3.parameters", "guide.coder30b.active_parameters", "guide.yi.memory_gb"):
        assert verdicts.loc[name, "verdict"] == "consistent", name


def test_no_verdict_is_given_where_nothing_can_be_checked(verdicts):
    assert verdicts.loc["guide.coder32b.response_s.5users", "verdict"] == "not checked"


def test_claims_of_some_models_only(records):
    some = claims.audit(records, (CODER,))
    assert set(some["model_id"]) == {CODER}
    assert "claims:" in claims.text(some)
