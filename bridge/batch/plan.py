"""A run before it runs: chain, sources and names checked against each other, and the digest that makes it this run."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.errors import ModelError, RequestError

from .. import __version__
from ..registry import AUTO, find_model, find_query_model, user_folder
from .attendant import Setup
from .description import Chain, ConvolutionStage, read_chain, splits, walk
from .hearing import FlagStage
from .inputs import Found, Source, find_sources
from .job import Job, digest_of
from .manifest import NAME, done_before
from .names import Name, check_template, name_of
from .plugin import PluginStage
from .storage import is_address

AUTOMATIC: dict[str, Callable[[], Path]] = {"separate": lambda: find_model(AUTO), "query": find_query_model}
"""What ``auto`` is, by the type of stage."""


@dataclass(frozen=True)
class Plan:
    """Attributes:
    digest: of the chain, its models, plugins and other files, and of Sidechop.
    """

    chain: Chain
    chain_file: Path
    digest: str
    found: Found
    output: str

    @property
    def sources(self) -> Sequence[Source]:
        return self.found.sources

    @property
    def home(self) -> Path:
        """Where manifest and lock lie: the output folder, or for a store a folder of this user's."""
        if is_address(self.output):
            return user_folder() / "batch" / hashlib.sha256(self.output.encode()).hexdigest()[:16]
        return Path(self.output)

    @property
    def manifest(self) -> Path:
        return self.home / NAME

    def setup(self, overwrite: bool, threads: int, patience_s: float) -> Setup:
        """What workers are told. Raises `RequestError` where a source could be replaced by another one's output."""
        if overwrite and not is_address(self.output):
            top = Path(self.output).resolve()
            for source in self.sources:
                if not is_address(source.where) and Path(source.where).resolve().is_relative_to(top):
                    raise RequestError(
                        f"{source.where}: lies in the output folder, where --overwrite might replace it: choose another"
                    )
        data = self.chain.model_dump(mode="json", by_alias=True)
        base = str(self.chain_file.parent.absolute())
        return Setup(data, base, self.output, overwrite, threads, patience_s=patience_s)

    def jobs(self, resume: bool) -> list[Job]:
        """The largest first, so that no long one is left for the end."""
        known = done_before(self.manifest) if resume else {}
        jobs = [
            Job(number, source.where, source.folder, known.get(source.file), self.digest)
            for number, source in enumerate(self.sources)
        ]
        return sorted(jobs, key=lambda job: (-self.sources[job.number].bytes, job.number))

    def names(self) -> Iterator[tuple[Source, str]]:
        """Each source with its output; for what is split, with a name that stands for all of them."""
        labels = {kind: f"({kind})" for stage in self.chain.stage if (kind := splits(stage))}
        for source in self.sources:
            name = name_of(self.chain, Name(source.folder, source.name.stem, source.name.suffix, labels))
            yield source, f"{self.output}/{name}.{self.chain.output.format}"


def make_plan(chain_file: Path, inputs: Sequence[str], output: str) -> Plan:
    """Check everything that can be checked before anything runs, but load nothing.

    Raises:
        SidechopError: one line: the chain, a model or file it names, an input, two outputs of one name.
    """
    chain = resolved(read_chain(chain_file))
    check_template(chain)
    output = output.rstrip("/") if is_address(output) else str(Path(output).absolute())
    plan = Plan(chain, chain_file, digest_of_chain(chain, chain_file.parent), find_sources(inputs, output), output)
    taken: dict[str, Source] = {}
    for source, target in plan.names():
        other = taken.setdefault(target.casefold(), source)
        if other != source:
            raise RequestError(
                f"{other.where} and {source.where} would both become {target}: tell them apart in the chain, with "
                '[output] name = "{path}/{name}-{ext}", or run them into different folders'
            )
    return plan


def is_there(target: str) -> bool:
    """Whether an output is there already; a store is not asked."""
    return not is_address(target) and Path(target).exists()


def check_outputs(plan: Plan) -> None:
    """Raises `RequestError` where outputs are there already, before anything is done for them."""
    there = [target for _, target in plan.names() if is_there(target)]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise RequestError(
            f"{there[0]}{more} is there already: --resume goes on with a run, --overwrite replaces what is there"
        )


def resolved(chain: Chain) -> Chain:
    """With the model that ``auto`` is on this machine, so that all machines of a run use the same one.

    Raises:
        ModelError: a model is not there.
    """

    def named(data: Any) -> Any:
        if isinstance(data, dict):
            chosen = AUTOMATIC.get(data.get("type", "")) if data.get("model") == AUTO else None
            if chosen:
                data = {**data, "model": chosen().stem}
            return {key: named(value) for key, value in data.items()}
        return [named(value) for value in data] if isinstance(data, list) else data

    return Chain.model_validate(named(chain.model_dump(mode="json", by_alias=True)))


def digest_of_chain(chain: Chain, base: Path) -> str:
    """SHA-256 of all that decides what comes out of a file. Raises `SidechopError` for a file that is not there."""
    data = chain.model_dump(mode="json", by_alias=True, exclude={"about"})
    files = {str(path): tree_digest(path) for path in sorted(set(_files(chain, base)))}
    text = json.dumps({"chain": data, "files": sorted(files.values()), "sidechop": __version__}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _files(chain: Chain, base: Path) -> Iterator[Path]:
    """Everything that the stages read besides audio."""
    for name, stage in walk(chain.stage):
        model = getattr(stage, "model", None)
        try:
            if model is not None:
                path = find_model(model)
                yield path
                if isinstance(stage, FlagStage):
                    from ..flags.fine import FineStore

                    if (fine := FineStore(path).path).is_file():
                        yield fine
        except ModelError as error:
            raise RequestError(f"stage {name}: {error}") from None
        wanted: list[Path | None] = []
        if isinstance(stage, PluginStage):
            wanted = [stage.path, stage.preset]
        elif isinstance(stage, ConvolutionStage):
            wanted = [stage.impulse_response]
        for relative in filter(None, wanted):
            path = base / relative.expanduser()
            if not path.exists():
                raise RequestError(f"stage {name}: {path}: no such file")
            yield path


def tree_digest(path: Path) -> str:
    """Of a file, or of all files in a folder (plugins are folders)."""
    if path.is_file():
        return digest_of(path)
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    text = "".join(f"{file.relative_to(path).as_posix()} {digest_of(file)}\n" for file in inside)
    return hashlib.sha256(text.encode()).hexdigest()
