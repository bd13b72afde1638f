"""Errors name what is wrong and the mend."""

from __future__ import annotations

import pytest

from tracemill.schemas.errors import UsageError, did_you_mean, refuse_unknown


def test_the_nearest_known_name_is_suggested_and_none_where_none_is_near():
    assert did_you_mean("temprature", ["top_p", "temperature"]) == "did you mean 'temperature'? "
    assert did_you_mean("zzz", ["top_p", "temperature"]) == ""


def test_an_unknown_option_is_refused_with_all_that_there_are():
    refuse_unknown(["a"], ["a", "b"], "the verifier")
    with pytest.raises(UsageError) as caught:
        refuse_unknown(["a", "ordred"], ["a", "ordered"], "the answer verifier")
    assert str(caught.value) == (
        "unknown option 'ordred' of the answer verifier\n  mend: did you mean 'ordered'? it has a, ordered"
    )
    with pytest.raises(UsageError, match="mend: it has none"):
        refuse_unknown(["a"], [], "the countdown verifier")
