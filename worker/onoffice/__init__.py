"""How to speak to the onOffice API."""
