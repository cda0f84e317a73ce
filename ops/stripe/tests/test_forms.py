import pytest

from ops.stripe import forms
from ops.stripe.errors import Refusal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a[0][b]=1&a[1][b]=2", {"a": [{"b": "1"}, {"b": "2"}]}),
        ("a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("payload%5Bvalue%5D=1%2B2", {"payload": {"value": "1+2"}}),
    ],
)
def test_brackets_are_nested_values(text, found):
    assert forms.nested(text) == found


@pytest.mark.parametrize(
    "text", ["a=1&a[b]=2", "a[b]=2&a=1", "a[b=1", "a]=1", "[a]=1", "&".join(["a=1"] * 6000)]
)
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(Refusal):
        forms.nested(text)
