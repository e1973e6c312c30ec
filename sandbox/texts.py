"""Words the seeded data is made of: names of several scripts, companies, notes of every awkward kind."""

from __future__ import annotations

# ruff: noqa: RUF001 - people and typographers do use these characters

PEOPLE = [
    ("Anna", "Smith"), ("José", "García López"), ("Zoë", "O'Brien"), ("Jürgen", "Müller"), ("François",
    "Lefèvre"),
    ("مريم", "الهاشمي"), ("יעל", "כהן"), ("Олена", "Шевченко"), ("美咲", "田中"), ("Björk", "Þórsdóttir"),
    ("Liam", "Murphy"), ("Priya", "Sharma"), ("Łukasz", "Żółć"), ("Nguyễn", "Thị Hoa"), ("Chloé 🌸",
    "Dubois"),
    ("Mary-Jane", "van der Berg"), ("Bob <b>Bold</b>", "Tables & Sons"), ("Ada", "Lovelace"), ("Grace",
    "Hopper"),
    ("İbrahim", "Yıldız"), ("  Tom ", " Spaced"), ("Carlos", "Núñez"), ("Σοφία", "Παπαδοπούλου"), ("Owen",
    "Jones"),
    ("Sarah", ""), ("", "Reception"), ("Emma", "Brown"), ("Noah", "Wilson"), ("Isla", "Taylor"), ("Hugo",
    "Martin"),
]  # fmt: skip
COMPANIES = [
    "Acme Ltd", "Bäckerei Krüger GmbH", "O'Neill & Sons", "Société Générale d'Épicerie", "Cafés del Sur S.L.",
    "שלום בע״מ", "株式会社サクラ", "Blue <Sky> Media", "Northwind Traders", None, None, None,
]  # fmt: skip
LABELS = [
    "VIP",
    "Newsletter",
    "Lead",
    "Follow Up",
    "Décideur",
    "cold",
    "Müller-Gruppe",
    "🔥 Hot",
    "Trade Show 2025",
]
GROUPS = ["Customers", "Suppliers", "Leads EMEA", "Partners", None, None]
NOTES = [
    "Called, will ring back on Monday.",
    "Wants a quote for 20 seats.\nBudget: £1,200/month.\n\nDecision by end of quarter.",
    "<p>Sent <b>contract</b> &amp; price list</p><br><script>alert('x')</script>",
    "שיחה טובה מאוד, לחזור ביום שלישי",
    "تم الاتفاق على موعد الأسبوع القادم ✅",
    "Met at the fair 🎪👩‍👩‍👧‍👦 – very keen. Prefers e-mail “before noon”…",
    "Line one\r\nLine two\r\n\tindented",
    "Odd characters from a paste:\x0b form\x0cfeed bell\x07 and zero\u200bwidth",
    "e\u0301tude: decomposed accents; ½ price; ™",
    "— not a marker · just dashes · #1",
    "Left voicemail.",
    "Price list https://example.com/a?b=1&c=2 sent",
]
TASKS = [
    ("Send the proposal", "Use the new template.\nCopy Sarah."),
    ("Ring back", ""),
    ("Rappeler à 14 h", "Numéro de poste: 12"),
    ("🎂 Birthday call", "Do not <i>forget</i>"),
    ("إرسال العقد", "قبل نهاية الشهر"),
    (None, "No title here, only a body that says what to do: check the invoice of March."),
]
APPOINTMENTS = [
    ("Demo", "Video call", "Bring slides"),
    ("Site visit", "12 Baker Street, London", "Park at the back"),
    ("Reunión de seguimiento", "Calle Mayor 1, Madrid", ""),
    ("פגישה", "תל אביב", "להביא חוזה"),
    (None, None, None),
]
STATUSES = ["new", "confirmed", "cancelled", "showed", "noshow"]


def long_note(number: int) -> str:
    """A note of some 12,000 characters."""
    lines = (f"{at}. Minute {at} of the call {number}: “Ünïcode”, 数字 {at * 7}, ok." for at in range(1, 230))
    return "Transcript\n" + "\n".join(lines)
