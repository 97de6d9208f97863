"""A principal as brokers pass it on in Envelope requests."""

from kwire.schema import Struct, boolean, record, string


@record("data", versions="0", flexible="0+")
class DefaultPrincipalData(Struct):
    type: str = string()
    name: str = string()
    token_authenticated: bool = boolean()
