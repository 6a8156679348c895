"""The domains and methods that every config has, and the models of a student."""

from agorabench.config.models import MethodEntry
from agorabench.config.read import read_shipped

DOMAIN_ENTRIES = read_shipped()["domains"]
DOMAINS = tuple(DOMAIN_ENTRIES)
METHODS = {
    name: MethodEntry.model_validate(entry).model_dump()
    for name, entry in read_shipped()["methods"].items()
}
FORMS = {name: entry["reply"] for name, entry in METHODS.items()}
STUDENT = {"reference": {"model": "resources/models/reference", "chat": True}, "references": {}}
