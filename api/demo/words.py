"""The names, goods and phrases that generated messages are made of."""

FIRST_NAMES = (
    "Amir", "Anna", "Ben", "Chiara", "Chloe", "Daan", "Elif", "Emma", "Finn", "Freya", "Hana",
    "Hugo", "Ines", "Ivo", "Jakub", "Jana", "Jonas", "Karla", "Lea", "Liam", "Lina", "Luca",
    "Maja", "Malik", "Marta", "Mateo", "Mia", "Nadia", "Nils", "Noah", "Nora", "Omar", "Paula",
    "Petra", "Rosa", "Samir", "Sofia", "Theo", "Vera", "Yusuf", "Zoe",
)  # fmt: skip
LAST_NAMES = (
    "Adler", "Bakker", "Becker", "Costa", "Demir", "Dubois", "Eriksen", "Fischer", "Garcia",
    "Haas", "Ito", "Jansen", "Kaya", "Keller", "Kowalski", "Kraus", "Lang", "Lopez", "Maier",
    "Martin", "Moreau", "Nagy", "Novak", "Olsen", "Petrov", "Ricci", "Rossi", "Roth", "Sato",
    "Schulz", "Silva", "Simon", "Svensson", "Toth", "Vogel", "Weber", "Wolf",
)  # fmt: skip
COMPANIES = ("Alder", "Birch", "Cedar", "Elm", "Hazel", "Juniper", "Linden", "Maple", "Rowan")
COUNTRIES = ("AT", "CH", "DE", "ES", "FR", "IT", "NL", "PL", "SE")
LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pl", "sv")

GOODS = {
    "coffee beans": 1490,
    "espresso cups": 2490,
    "filter papers": 490,
    "grinder": 12900,
    "kettle": 5900,
    "milk frother": 3990,
    "portafilter": 8900,
    "tasting box": 2990,
}
"""What the shop sells, and the price of each in cents."""
MACHINES = {"home machine": 89900, "office machine": 249000, "bar machine": 890000}
"""What the sales people sell, and what a deal is worth at least."""

PAGES = ("start page", "beans", "machines", "recipes", "service", "prices", "cart")
QUESTIONS = (
    "When will you have the grinder again?",
    "Which beans go with the home machine?",
    "Do you deliver on Saturdays?",
    "Can I change my address for the next delivery?",
    "How often should I descale the machine?",
)
LETTERS = (
    "Thank you for the quick delivery.",
    "Please send me the invoice once more.",
    "I would like to visit your tasting room.",
    "Could you call me about an offer for our office?",
)
CATEGORIES = ("billing", "delivery", "defect", "question", "return")
TROUBLES = {
    "billing": "I was charged twice",
    "delivery": "My parcel has not arrived",
    "defect": "The machine does not heat up",
    "question": "How do I use the warranty?",
    "return": "I want to send the cups back",
}
ANSWERS = (
    "Thank you for telling us; we are looking into it.",
    "We have sent a replacement today.",
    "The amount is on its way back to you.",
    "Please try the steps in the attached guide.",
)
AGENTS = ("agent-1", "agent-2", "agent-3", "agent-4")
OWNERS = {"owner-1": "north", "owner-2": "north", "owner-3": "south", "owner-4": "west"}
"""The sales people, and the territory of each."""
LOST_REASONS = ("price", "competitor", "no budget", "no answer")
