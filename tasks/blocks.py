"""Prefect blocks as a source of configuration."""

from prefect.blocks.system import Secret

from tasks.errors import ConfigurationError


def secret_block(name: str, *, where: str) -> str:
    """Return the value of a Prefect Secret block.

    Raises:
        ConfigurationError: there is no such block, or no Prefect API to ask.
    """
    try:
        value = Secret.load(name, _sync=True).get()  # type: ignore[call-arg, union-attr]  # not in its signature
    except Exception as error:  # noqa: BLE001 - Prefect raises whatever its client met
        raise ConfigurationError(
            f"{where}: cannot read Prefect secret block {name!r} ({type(error).__name__}): "
            "create it in the Prefect UI and set PREFECT_API_URL"
        ) from None
    return str(value)
