"""The consumers, a module each, which is listed by being here."""

import importlib
import pkgutil

from prunegrid.exporters.consumer import Consumer

MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
CONSUMERS: dict[str, Consumer] = {module.CONSUMER.name: module.CONSUMER for module in MODULES}
