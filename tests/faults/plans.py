"""Plans for tests, as `bulk plan` would write them."""

import time
import uuid
from typing import Any

from config.accounts import load_accounts
from config.settings import Settings
from gateway.running import target
from tests.harness import House
from worker.unlinking.plan import Action, PlanDraft


def draft_for(house: House, **changes: Any) -> PlanDraft:
    """A plan of this house's account, made just now."""
    settings = Settings(
        onoffice_url=house.settings["UNLINKER_ONOFFICE_URL"],
        onoffice_token=house.settings["UNLINKER_ONOFFICE_TOKEN"],
        onoffice_secret=house.settings["UNLINKER_ONOFFICE_SECRET"],
    )
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "action": Action.UNLINK,
        "account": "default",
        "made_at": time.time(),
        "expires_at": time.time() + 3600,
        "made_by": "tests",
        "because": "spring",
        "source": "links.csv",
        "target": target(settings, load_accounts(settings)["default"]),
    }
    return PlanDraft(**(values | changes))
