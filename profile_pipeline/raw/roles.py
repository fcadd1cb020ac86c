"""The closed list of roles, the name of the count that each gives, and the event names of common trackers.

A role is all that SQL downstream knows of an event's type. What a source calls its events is mapped here (for the public
vocabularies of Segment, GA4 and Snowplow) or in `profile.yaml` (for one's own). Not here: reading or judging events.
"""

COUNT_OF_ROLE: dict[str, str] = {
    "view": "n_views",
    "search": "n_searches",
    "add_to_cart": "n_add_to_carts",
    "remove_from_cart": "n_remove_from_carts",
    "purchase": "n_purchases",
    "refund": "n_refunds",
    "rate": "n_ratings",
    "play": "n_plays",
    "read": "n_reads",
    "share": "n_shares",
    "follow": "n_follows",
    "sign_in": "n_sign_ins",
    "message": "n_messages",
}
ROLES: tuple[str, ...] = (*COUNT_OF_ROLE, "other")

# Keys are compared in lower case. Segment's spec events, GA4's recommended events, Snowplow's e-commerce and media actions.
KNOWN_EVENT_TYPES: dict[str, str] = {
    # Segment
    "page": "view",
    "screen": "view",
    "page viewed": "view",
    "product viewed": "view",
    "product list viewed": "view",
    "products searched": "search",
    "product added": "add_to_cart",
    "product removed": "remove_from_cart",
    "order completed": "purchase",
    "order refunded": "refund",
    "product reviewed": "rate",
    "product shared": "share",
    "cart shared": "share",
    "video playback started": "play",
    "video content started": "play",
    "signed in": "sign_in",
    "identify": "sign_in",
    # GA4
    "page_view": "view",
    "screen_view": "view",
    "view_item": "view",
    "view_item_list": "view",
    "search": "search",
    "view_search_results": "search",
    "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "purchase": "purchase",
    "in_app_purchase": "purchase",
    "refund": "refund",
    "share": "share",
    "login": "sign_in",
    "video_start": "play",
    # Snowplow
    "pv": "view",
    "page_ping": "other",
    "product_view": "view",
    "list_view": "view",
    "transaction": "purchase",
    "site_search": "search",
    "social_interaction": "share",
    "play": "play",
    # the roles themselves
    **{role: role for role in ("view", "rate", "read", "follow", "sign_in", "message", "other")},
}
