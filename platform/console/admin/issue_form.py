"""What staff fill in to issue a key."""

from __future__ import annotations

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tenants import origins
from tenants.access import Scope
from tenants.errors import OriginMalformed
from tenants.models import APIKey


class IssueForm(forms.ModelForm):
    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget, help_text="What uses the key.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope],
        initial=[Scope.LISTEN.value],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    allowed_origins = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="For keys used in browsers: the web origins they may be used from, one a line, such as "
        "https://app.example.com. Empty: from anywhere.",
    )
    expires_at = forms.SplitDateTimeField(
        required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text="In UTC. Empty: never."
    )

    class Meta:
        model = APIKey
        fields = ("project", "name", "scopes", "allowed_origins", "expires_at")

    def clean_allowed_origins(self) -> list[str]:
        try:
            return [origins.normalise(line) for line in self.cleaned_data["allowed_origins"].split()]
        except OriginMalformed as error:
            raise forms.ValidationError(str(error)) from error
