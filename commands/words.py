"""What is wrong with input, in words for whoever sent it; never what was sent."""

from collections.abc import Mapping
from typing import Any

OBJECTS = ("model_type", "model_attributes_type", "dict_type")


def said(fault: Mapping[str, Any]) -> str:
    """Tell one fault that pydantic found, without the names of our classes."""
    if fault["type"] in OBJECTS:
        return "Input should be an object"
    return str(fault["msg"]).removeprefix("Value error, ")
