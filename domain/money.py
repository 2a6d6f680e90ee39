"""How an amount of money is written: its currency says how many digits are minor units."""

NO_MINOR_UNIT = {"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"}
THREE_DIGITS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}


def money(amount: int, currency: str) -> str:
    """Tell an amount of minor units."""
    digits = 0 if currency in NO_MINOR_UNIT else 3 if currency in THREE_DIGITS else 2
    return f"{amount / 10**digits:,.{digits}f} {currency}"
