"""DescribeConfigs v0: whether a value is the default, instead of where it comes from.

(Kafka 3.9: ConfigHelper; a topic's own value is none, nor is a broker's from its file or set while it runs.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from broker.personality.later import then
from kwire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResponse

if TYPE_CHECKING:
    from broker.context import RequestContext
    from broker.dispatch import Handler
    from broker.personality.personality import Personality
    from broker.services import Services

_DEFAULT: Final = 5


def around(call: Handler, services: Services, personality: Personality) -> Handler:
    def describe_configs(request: DescribeConfigsRequest, ctx: RequestContext) -> Any:
        return then(call(request, ctx), told)

    def told(response: DescribeConfigsResponse) -> DescribeConfigsResponse:
        for result in response.results:
            for config in result.configs:
                config.is_default = config.config_source == _DEFAULT
        return response

    return describe_configs
