"""The OpenAPI document and a page that shows it. The page asks nobody but us: no CDN, no fonts, no tracking."""

import asyncio
from functools import cache
from pathlib import Path

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from gateway.services import Services

_PAGE = Path(__file__).parent.parent / "docs_page"
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_TYPES = {"page.css": "text/css", "page.js": "text/javascript"}


@get("/openapi.json", include_in_schema=False)
async def get_document(services: NamedDependency[Services]) -> Response[bytes]:
    """Return the OpenAPI 3.1 document."""
    return Response(await asyncio.to_thread(services.openapi), media_type="application/json", headers=_HEADERS)


@get("/docs", include_in_schema=False)
async def get_page() -> Response[bytes]:
    """Return the page."""
    return Response(_asset("index.html"), media_type="text/html", headers=_HEADERS)


@get("/docs/{name:str}", include_in_schema=False)
async def get_asset(name: FromPath[str]) -> Response[bytes]:
    """Return the page's style or script."""
    if name not in _TYPES:
        raise NotFoundException
    return Response(_asset(name), media_type=_TYPES[name], headers=_HEADERS)


@cache
def _asset(name: str) -> bytes:
    return (_PAGE / name).read_bytes()
