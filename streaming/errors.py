"""The exception tree. Everything a user can cause derives from `SidechopError`; its text is one clear line.

::

    SidechopError
    ├── AudioError      a file, device or block that cannot be used
    ├── ModelError      an ONNX file that does not fit its card, or this session
    │   └── CardError   a card that is missing, malformed or untrue; names the field
    ├── EngineError     the engine process failed or does not answer
    └── RequestError    a command or OSC request that asks for what is not there
"""


class SidechopError(Exception):
    """What was got, what was expected, what to try: one line."""


class AudioError(SidechopError):
    """A file, device or block that cannot be used."""


class ModelError(SidechopError):
    """An ONNX file that does not fit its card, or this session."""


class CardError(ModelError):
    """A card that is missing, malformed or untrue. ``field`` is the dotted name of what is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"model card: {field}: {problem}")
        self.field = field


class EngineError(SidechopError):
    """The engine process failed or does not answer."""


class RequestError(SidechopError):
    """A command or OSC request that asks for what is not there."""
