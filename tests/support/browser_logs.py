"""What a browser recorded."""

import json


def requested_schemes(browser):
    """Returns the URL schemes of all requests of the browser."""
    events = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    return {
        event["params"]["request"]["url"].partition(":")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
