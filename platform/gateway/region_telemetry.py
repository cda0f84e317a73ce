"""The gateway's metrics of regions. What is said of each region is what all regions see of it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

gateways = Gauge(
    "stenogate_gateway_region_gateways",
    "Gateways of each region that have reported within the last seconds, as read here.",
    ["region"],
)
active = Gauge("stenogate_gateway_region_active", "1 while a region is set to take streams.", ["region"])
streams = Gauge("stenogate_gateway_region_streams", "Streams open in each region.", ["region"])
room = Gauge("stenogate_gateway_region_room", "Streams that each region could take more.", ["region"])
redirects = Counter(
    "stenogate_gateway_region_redirects_total", "Handshakes and requests sent to each region.", ["region"]
)
moved = Counter("stenogate_gateway_region_moved_total", "Open streams asked to go to another region.")
version = Gauge(
    "stenogate_gateway_config_version", "The change of configuration up to which this process goes by."
)
