"""The tables of a policies file, as TOML has them: which keys there are, and of what type."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.reconciling import values

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Dsn = Annotated[str, AfterValidator(values.dsn)]
Url = Annotated[str, AfterValidator(values.url)]
PlainHeaders = Annotated[dict[str, str], AfterValidator(values.plain_headers)]
IdRow = Annotated[Any, AfterValidator(values.id_row)]
Condition = Annotated[Any, AfterValidator(values.condition)]


class _Table(BaseModel):
    """Types to the letter: "5" is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class SqlTable(_Table):
    """`sql = { ... }`"""

    query: Text
    dsn: Dsn | None = None
    dsn_env: Text | None = None
    dsn_file: Text | None = None
    seconds: Seconds = 300.0


class HttpTable(_Table):
    """`http = { ... }`"""

    url: Url | None = None
    url_env: Text | None = None
    url_file: Text | None = None
    items: str = ""
    count: str = ""
    next: str = ""
    headers: PlainHeaders = {}
    headers_env: dict[str, Text] = {}
    headers_file: dict[str, Text] = {}
    seconds: Seconds = 60.0
    megabytes: int = Field(64, ge=1, le=4096)


class ListTable(_Table):
    """A list: one of ids, file, sql, http, where."""

    ids: list[IdRow] | None = None
    file: Text | None = None
    sql: SqlTable | None = None
    http: HttpTable | None = None
    where: list[Condition] | None = Field(None, min_length=1)
    columns: list[Text] | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)


class ScopeTable(ListTable):
    """`[policies.NAME.scope]`"""

    side: Literal["parents", "children"] = "parents"


class KeepTable(ListTable):
    """`[policies.NAME.keep]`"""

    nothing: bool = False
    of: Literal["related", "pairs"] = "related"


class BrakesTable(_Table):
    """`[policies.NAME.brakes]`"""

    max_deletions: int = Field(500, ge=1)
    max_share: Share = 0.5
    max_share_per_parent: Share = 1.0
    expect_at_least: int = Field(0, ge=0)
    allow_empty: bool = False
    canary: int = Field(10, ge=0, le=500)
    max_failure_rate: float = Field(0.1, ge=0, le=1)


class TimingTable(_Table):
    """`[truth]`, and the keys of a policy that say when."""

    schedule: Text
    timezone: Text = "UTC"
    catch_up: Text = "6h"


class PolicyTable(TimingTable):
    """`[policies.NAME]`. The tables within it are read by themselves, so that one's faults do not hide another's."""

    account: Text = "default"
    relationtype: Text
    because: str = Field("", max_length=500)
    mode: Literal["plan", "apply"] = "plan"
    on_resurrected: Literal["report", "unlink"] = "report"
    scope: dict[str, Any]
    keep: dict[str, Any]
    brakes: dict[str, Any] = {}


class TruthTable(TimingTable):
    """`[truth]`"""

    schedule: Text = "0 4 * * *"
    enabled: bool = True
