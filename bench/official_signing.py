"""Signs orders with py-clob-client-v2, without its network calls; prints what each took in milliseconds, as JSON.

``python -m bench.official_signing COUNT``, in the environment of the venues' own clients.
"""

import json
import sys

from py_clob_client_v2.clob_types import ApiCreds, CreateOrderOptions, OrderArgsV2, RequestArgs
from py_clob_client_v2.headers.headers import create_level_2_headers
from py_clob_client_v2.order_builder.builder import OrderBuilder
from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
from py_clob_client_v2.signer import Signer

from bench.signed_order import AT_S, PRIVATE_KEY, SECRET, TOKEN, timed

CHAIN_ID = 137


def main() -> None:
    """Run from the command line."""
    signer = Signer(PRIVATE_KEY.hex(), CHAIN_ID)
    builder = OrderBuilder(signer)
    credentials = ApiCreds("bench", SECRET, "bench")
    options = CreateOrderOptions(tick_size="0.01", neg_risk=False)

    def sign(number: int) -> object:
        arguments = OrderArgsV2(token_id=TOKEN, price=0.5, size=10 + number % 90, side="BUY")
        payload = order_to_json_v2(builder.build_order(arguments, options), "bench", "GTC")
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        request = RequestArgs("POST", "/order", payload, serialized_body=body)
        return create_level_2_headers(signer, credentials, request, AT_S)

    sys.stdout.write(json.dumps(timed(sign, int(sys.argv[1]))))


if __name__ == "__main__":
    main()
