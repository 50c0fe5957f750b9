"""``dovetail verify``: a model directory checked against its manifest and its signature; made, where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(metavar="MODEL_DIR|FILE.gguf")],
    key: Annotated[Path | None, typer.Option("--key", help="A public key: the model must be signed with it.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write a manifest instead of checking one.")] = False,
    sign_with: Annotated[Path | None, typer.Option("--sign", help="A private key to sign the model with.")] = None,
) -> None:
    """Check a model's files: safetensors with sane headers, no pickles, as its manifest lists, as signed."""
    from dovetail.serve.govern.weights import files as model_files
    from dovetail.serve.govern.weights.signature import require_signed, sign

    if directory.is_file():
        _verify_file(
            directory,
            asked=[name for name, value in (("--key", key), ("--write", write), ("--sign", sign_with)) if value],
        )
        return
    files = model_files.digests_of(directory)
    tensors = model_files.require_sane(directory, files)
    typer.echo(f"{len(files)} files, {tensors} tensors, licence: {model_files.licence_of(directory)}")
    code = [name for name in files if name.endswith(".py")]
    if code:
        typer.echo(f"never run: {', '.join(code)}")
    if write:
        typer.echo(f"wrote {model_files.write_manifest(directory, files)}")
        files = model_files.digests_of(directory)
    elif model_files.listed_in(directory) is not None:
        model_files.require_as_listed(directory, files)
        typer.echo("as its manifest lists")
    else:
        typer.echo("no manifest (--write makes one)")
    if sign_with is not None:
        typer.echo(f"signed: {sign(directory, files, sign_with)}")
    if key is not None:
        typer.echo(f"signed with this key: {require_signed(directory, files, key)}")
    typer.echo(f"sha256:{model_files.digest_of(files)}")


def _verify_file(path: Path, asked: list[str]) -> None:
    """A GGUF file has a digest, and nothing that could be checked against it."""
    from dovetail.serve.govern.weights import files as model_files

    if asked:
        raise model_files.WeightsProblem(
            f"{path}: manifests and signatures are of model directories, not of GGUF files; leave out {', '.join(asked)}"
        )
    digest = model_files.digest_of_file(path)
    typer.echo("a GGUF file: it holds numbers and text, and nothing that could run; no manifest, no signature")
    typer.echo(f"sha256:{digest}")
