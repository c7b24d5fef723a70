"""What single values of the fleet file may be: one type per kind of value.

Each type refuses a value with the words `what is allowed; what to do`; `fleet.fleet_file_problems`
puts file, line, field and value in front of them. Rules of Azure are from the facts
(connected-registry.md section 1.5). Types of the cluster are in `fleet.validation_cluster`.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

WORD = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
PATH_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"


def broken_rule(message: str) -> PydanticCustomError:
    """Return the error of a value that breaks a rule by itself."""
    return PydanticCustomError("rule", "{message}", {"message": message})


def broken_combination(message: str) -> PydanticCustomError:
    """Return the error of a value that breaks a rule only together with another value."""
    return PydanticCustomError("combination", "{message}", {"message": message})


@dataclass(frozen=True)
class Matches:
    """Text that matches a pattern as a whole; the pattern is also what editors check."""

    pattern: str
    allowed: str
    advice: str

    def check(self, value: str) -> str:
        """Return the value or refuse it."""
        if not re.fullmatch(self.pattern, value):
            raise broken_rule(f"allowed are {self.allowed}; {self.advice}")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Tell pydantic to check after its own checks of the type."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Show the pattern in the JSON Schema."""
        return {**handler(core), "pattern": f"^({self.pattern})$"}


# YAML has types, so nothing is guessed from text.
Flag = Annotated[bool, Field(strict=True)]
WholeNumber = Annotated[int, Field(strict=True)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]

# --- names in this file
ClientTokenName = Annotated[
    str,
    Matches(
        r"(?!(sync|client)$)[a-z]([a-z0-9-]{0,18}[a-z0-9])?",
        "1 to 20 lower-case letters, digits and '-', but not sync or client",
        "choose such a name and keep it for ever",
    ),
]
PlainName = Annotated[
    str,
    Matches(
        WORD,
        "1 to 63 letters, digits, '.', '_' and '-', with a letter or digit at both ends",
        "choose such a name",
    ),
]
BlockName = Annotated[
    str,
    Matches(
        r"[a-z0-9]+(-[a-z0-9]+)*",
        "lower-case letters, digits and single '-'",
        "use the name under which the Prefect block was saved",
    ),
]
Tag = Annotated[
    str, Matches(r"\S(.{0,98}\S)?", "1 to 100 characters without blanks at the ends", "shorten it")
]
FilePath = Annotated[
    str, Matches(r"(?!-----).+", "paths of files on one line", "give the path, not the content")
]

# --- Azure
SubscriptionId = Annotated[
    str,
    Matches(
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "GUIDs such as 00000000-0000-0000-0000-000000000000",
        "copy it from `az account show --query id`",
    ),
]
ResourceGroup = Annotated[
    str,
    Matches(
        r"[\w.()-]{0,89}[\w()-]",
        "1 to 90 letters, digits, '_', '-', '.' and parentheses, no '.' at the end",
        "copy it from `az group list`",
    ),
]
RegistryName = Annotated[
    str,
    Matches(
        r"[a-zA-Z0-9-]{5,50}",
        "5 to 50 letters, digits and '-'",
        "give the registry's name, not its login server",
    ),
]
ConnectedRegistryName = Annotated[
    str,
    Matches(
        r"[a-z][a-z0-9]{4,39}",
        "5 to 40 lower-case letters and digits, a letter first",
        "choose such a name",
    ),
]
TokenName = Annotated[
    str,
    Matches(
        r"[a-zA-Z][a-zA-Z0-9-]{4,48}",
        "5 to 49 letters, digits and '-', a letter first",
        "choose such a name",
    ),
]
ScopeMapName = Annotated[
    str,
    Matches(r"[a-zA-Z0-9-]{5,49}", "5 to 49 letters, digits and '-'", "choose such a name"),
]
HttpsUrl = Annotated[
    str,
    Matches(
        r"https://[^\s/?#@]+(/[^\s?#]*)?",
        "https:// URLs without user, query or fragment",
        "Azure's clients send credentials over TLS only",
    ),
]
Notification = Annotated[
    str,
    Matches(
        r"[a-z0-9*][a-z0-9._/*-]*(:[A-Za-z0-9_*][A-Za-z0-9._*-]*|@sha256:[0-9a-f]{64})?"
        r":(push|delete|\*)",
        "name[:tag]:action or name@digest:action, where the action is push, delete or *",
        "write for example hello-world:*:push",
    ),
]
ImageReference = Annotated[
    str,
    Matches(
        rf"{PATH_PART}(/{PATH_PART})*:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}",
        "references such as vessel/web:1.4.2",
        "leave the login server out",
    ),
]


# --- repositories
def _repository_glob(value: str) -> str:
    if ":" in value or "@" in value:
        raise broken_rule("allowed are repositories without tag or digest; remove it")
    if re.match(r"[^/]*\.azurecr\.", value):
        raise broken_rule("allowed are repositories without login server; remove it")
    if value != value.lower():
        raise broken_rule(f"allowed are lower-case names only; write {value.lower()}")
    part = r"([a-z0-9._*?-]|\[!?[a-z0-9._-]+\])+"
    if not re.fullmatch(rf"{part}(/{part})*", value):
        raise broken_rule(
            "allowed are letters, digits, '.', '_', '-', '/' and the wildcards * ? [a-z]; "
            "write for example vessel/*"
        )
    return value


RepositoryGlob = Annotated[str, AfterValidator(_repository_glob)]
