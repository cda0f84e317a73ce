"""The models that can be asked for, in a shape that Deepgram's clients read and OpenAI's too."""

from __future__ import annotations

from typing import Literal

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from gateway import catalogue, process
from gateway.catalogue import Model
from gateway.errors import UnknownId
from gateway.rest.access import for_tenant, grant_of, project_of
from gateway.rest.operations import operation

router = Router(tags=["models"])

MAKER = "stenogate"


class SpeechModel(Schema):
    """As Deepgram describes a model, with what OpenAI says of one."""

    name: str = Field(description="What to ask for as `model`.", examples=["moonshine-base-en"])
    canonical_name: str
    architecture: str = Field(description="The engine that runs it.")
    languages: list[str] = Field(examples=[["en"]])
    version: str = Field(description="Empty: each worker says its own in its results.")
    uuid: str
    batch: bool = Field(description="Whether it hears recorded audio.")
    streaming: bool = Field(description="Whether it hears live audio.")
    formatted_output: bool = Field(description="Whether it punctuates.")
    id: str = Field(description="The name again, where OpenAI's clients look for it.")
    object: Literal["model"]
    created: int = Field(description="Unknown: always 0.")
    owned_by: str


class ListedModel(Schema):
    """As OpenAI describes a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ProjectModels(Schema):
    stt: list[SpeechModel] = Field(description="Speech to text.")
    tts: list[SpeechModel] = Field(description="Text to speech: none.")


class Models(ProjectModels):
    object: Literal["list"]
    data: list[ListedModel]


@router.get("/models", **operation(None, Models), summary="List the models")
async def list_models(request: HttpRequest) -> Models:
    """Those that the workers of this region serve at the moment. Any valid key may ask."""
    stt = [_described(model) for model in _known()]
    data = [ListedModel(id=m.id, object="model", created=m.created, owned_by=m.owned_by) for m in stt]
    return Models(object="list", data=data, stt=stt, tts=[])


@router.get(
    "/models/{path:model_id}", **operation(None, SpeechModel, refused=(404,)), summary="Describe a model"
)
async def get_model(request: HttpRequest, model_id: str) -> SpeechModel:
    """By its name or its uuid. Any valid key may ask."""
    return _found(model_id)


@router.get(
    "/projects/{project_id}/models",
    **operation(None, ProjectModels, refused=(404,)),
    summary="List the models of a project",
)
async def list_project_models(request: HttpRequest, project_id: str) -> ProjectModels:
    """The same models for every project."""
    grant = grant_of(request)
    await for_tenant(grant, project_of, grant, project_id)
    return ProjectModels(stt=[_described(model) for model in _known()], tts=[])


@router.get(
    "/projects/{project_id}/models/{path:model_id}",
    **operation(None, SpeechModel, refused=(404,)),
    summary="Describe a model of a project",
)
async def get_project_model(request: HttpRequest, project_id: str, model_id: str) -> SpeechModel:
    """By its name or its uuid."""
    grant = grant_of(request)
    await for_tenant(grant, project_of, grant, project_id)
    return _found(model_id)


def _known() -> list[Model]:
    return catalogue.models(process.current().link.pool.all())


def _found(asked: str) -> SpeechModel:
    model = catalogue.find(_known(), asked)
    if model is None:
        raise UnknownId(f"There are: {', '.join(known.name for known in _known()) or 'none at the moment'}.")
    return _described(model)


def _described(model: Model) -> SpeechModel:
    return SpeechModel(
        name=model.name,
        canonical_name=model.name,
        architecture=model.engine,
        languages=list(model.languages),
        version="",
        uuid=model.uuid,
        batch=True,
        streaming=True,
        formatted_output=True,
        id=model.name,
        object="model",
        created=0,
        owned_by=MAKER,
    )
