"""/v1/uploads: files that jobs and voices are made of."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, UploadFile
from pydantic import BaseModel

from .security import UPLOADS
from .services import Services
from .upload_kinds import UploadKind
from .uploads import Upload

_PIECE = 2**20  # bytes that are copied at once


class UploadAnswer(BaseModel):
    """An uploaded file. `id`: names it in jobs and options; a script may also use `name`. `used`: Unix seconds."""

    id: str
    object: Literal["upload"] = "upload"
    name: str
    kind: UploadKind
    bytes: int
    used: float

    @classmethod
    def of(cls, upload: Upload) -> UploadAnswer:
        """An upload as a client sees it, without its path."""
        return cls(id=upload.id, name=upload.name, kind=upload.kind, bytes=upload.n_bytes, used=upload.used)


class UploadList(BaseModel):
    """All uploads, the latest first."""

    object: Literal["list"] = "list"
    data: list[UploadAnswer]


def upload_routes(services: Services) -> APIRouter:
    """The routes of uploads."""
    router = APIRouter(prefix=UPLOADS, tags=["uploads"])
    uploads = services.uploads

    @router.post("", status_code=201)
    def create(file: UploadFile) -> UploadAnswer:
        """Upload a text, a book, subtitles, a recording, a voice (`.npz`) or a cover, as the form field `file`."""
        with uploads.receive(file.filename or "") as incoming:
            while data := file.file.read(_PIECE):
                incoming.write(data)
            return UploadAnswer.of(incoming.complete())

    @router.get("")
    def every() -> UploadList:
        """All uploads, the latest first."""
        return UploadList(data=[UploadAnswer.of(upload) for upload in uploads.all()])

    @router.delete("/{id}", status_code=204)
    def remove(id: str) -> None:
        """Remove an upload. A job that was made of it has its own copy; one that speaks with it or plays it fails."""
        uploads.remove(id)

    return router
