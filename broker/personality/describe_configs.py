"""DescribeConfigs v0: whether a value is the default, instead of where it comes from.

A topic's setting is one unless the topic has its own, whatever the broker's is.  (Kafka 0.11: AdminManager)
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
_TOPICS_OWN: Final = 1
_TOPIC: Final = 2


def around(call: Handler, services: Services, personality: Personality) -> Handler:
    def describe_configs(request: DescribeConfigsRequest, ctx: RequestContext) -> Any:
        return then(call(request, ctx), told)

    def told(response: DescribeConfigsResponse) -> DescribeConfigsResponse:
        for result in response.results:
            of_topic = result.resource_type == _TOPIC
            for config in result.configs:
                source = config.config_source
                config.is_default = source != _TOPICS_OWN if of_topic else source == _DEFAULT
        return response

    return describe_configs
