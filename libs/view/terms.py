"""The words for what is shown: one term for one thing, with its unit, on screen, in JSON, in views and documents.

``docs/reference/terms.md`` is made of this table; a test looks for the other words of each term.
"""

from typing import NamedTuple

MONEY = "dollars (mana at Manifold)"
PRICE_UNIT = "dollars a contract"
CONTRACTS = "contracts"
MESSAGES = "messages"
NO_UNIT = ""


class Term(NamedTuple):
    """A word, its unit, what it means, and the words that are not used for it (regular expressions)."""

    word: str
    unit: str
    meaning: str
    instead_of: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.word

    @property
    def short(self) -> str:
        """In a row that speaks of profit anyway: ``realised``."""
        return self.word.removesuffix(" profit")


# ── money: each kind has one word, and no sum of two goes by the word of one ──

EQUITY = Term(
    "equity",
    MONEY,
    "cash, and open positions at their marks",
    ("net worth", "account value", "portfolio value", "total value", "bankroll"),
)
CASH = Term("cash", MONEY, "what our books hold in money", ("cash balance",))
FREE_CASH = Term(
    "free cash", MONEY, "cash less what open entries may still cost", ("buying power", "spare cash")
)
BALANCE = Term(
    "balance", MONEY, "what the venue says it holds for us; our books say cash", ("wallet balance",)
)
PROFIT = Term(
    "profit",
    MONEY,
    "what was made, or lost below zero, after fees: realised and unrealised profit less fees. A trade is over, so"
    " its profit, and a strategy's of its trades, is realised profit less fees",
    (r"p&l", r"p/l", "pnl", "net profit", "earnings"),
)
REALISED = Term(
    "realised profit",
    MONEY,
    "made by leaving a position, or by its settlement, against its average cost; before fees",
    ("realized", "gross profit", "closed profit", "booked profit"),
)
UNREALISED = Term(
    "unrealised profit",
    MONEY,
    "what open positions would make at their marks; before fees",
    ("unrealized", "open profit", "floating profit", "paper profit"),
)
FEES = Term("fees", MONEY, "what venues took for fills", ("commissions?", "charges"))
EXPOSURE = Term(
    "exposure",
    MONEY,
    "the most that open positions and open entries can lose: their cost",
    ("heat", "at stake", "money at risk"),
)
COST = Term("cost", MONEY, "price times quantity, before fees; of a position at the average price paid", ())

# ── orders and what becomes of them ──

PRICE = Term("price", PRICE_UNIT, "of one contract, which pays one dollar or nothing", ())
QUANTITY = Term("quantity", CONTRACTS, "how much")
FILLED = Term("filled", CONTRACTS, "how much of an order was traded", ("executed quantity",))
MARK = Term(
    "mark", PRICE_UNIT, "the price at which a position is valued: the best bid, for a short one the best ask"
)
ENTRY = Term(
    "entry", NO_UNIT, "an order that opens or adds to a position; `entry` over a price: at what price"
)
EXIT = Term(
    "exit", NO_UNIT, "an order that reduces a position; `exit` over a price: at what price", ("unwind",)
)
PROPOSAL = Term(
    "proposal", NO_UNIT, "what a strategy or the exit service would do; risk decides", ("trade idea",)
)
PENDING = Term(
    "pending",
    NO_UNIT,
    "an entry that waits for the operator (autonomy `semi`)",
    ("waiting order", "awaiting approval", "unapproved order"),
)
STATUS = Term(
    "status",
    NO_UNIT,
    "what became of an order; `unknown`: the venue may or may not have it",
)
ORDER = Term("order", NO_UNIT, "what risk approved; it leaves once it is claimed in the ledger", ())
FILL = Term("fill", NO_UNIT, "a trade of one of our orders at the venue", ("partial execution",))
POSITION = Term("position", NO_UNIT, "the contracts of one instrument that are held")
TRADE = Term("trade", NO_UNIT, "from nothing held to nothing held in one instrument", ("round trip",))
SETTLEMENT = Term("settlement", NO_UNIT, "what a decided market pays for a contract", ("pay-off",))
EDGE = Term("edge", PRICE_UNIT, "fair value less price and fee", ("expected value", "mispricing"))
FAIR_VALUE = Term(
    "fair value", PRICE_UNIT, "what a contract is worth by the strategy's model", ("fair price",)
)
TIME_LEFT = Term("left", NO_UNIT, "time until a market closes, or an order's time is over", ())

# ── the record ──

TAPE = Term("tape", NO_UNIT, "the one record of every message", ("event log", "message log"))
SEQUENCE = Term("sequence", NO_UNIT, "a message's number on the tape", ("offset", "sequence id"))
READ_TO = Term("read to", NO_UNIT, "the sequence up to which a service has read the tape")
LAG = Term("lag", MESSAGES, "how many messages a service has not read yet")
HALTED = Term("halted", NO_UNIT, "no order leaves; cancels do", ("stopped trading",))
CLOSE_ONLY = Term("close-only", NO_UNIT, "exits leave, no entry does", ("reduce-only mode", "exit-only"))
WHAT_IF = Term(
    "what-if",
    NO_UNIT,
    "the record through the machines again with something changed; its fills are simulated",
)
BASELINE = Term("baseline", NO_UNIT, "in a what-if, the machines unchanged: on paper it must be the record")
VARIANT = Term("variant", NO_UNIT, "in a what-if, changes that are tried together: a column of its table")
DRAWDOWN = Term("drawdown", MONEY, "the deepest fall of equity from its highest so far")

TERMS = tuple(term for term in list(globals().values()) if isinstance(term, Term))
"""All of them, in the order above."""
