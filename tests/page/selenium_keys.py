"""Keys as WebDriver names them, so that the tests can be collected where selenium is missing."""

ENTER = "\ue007"
ESCAPE = "\ue00c"
RIGHT = "\ue014"
SPACE = "\ue00d"
