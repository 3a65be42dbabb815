"""The vendor's samples as the API guide prints them: bodies of requests, answers and headers.

Addresses that the guide's pages hide are `user@example.com` here; nothing else is changed.
"""

from __future__ import annotations

IDENTITIES = """{
"identity":{
"external_id": "dfn-user-123",
"email": "user@example.com",
"phone_no": "821012345678"
},
"request_datetime":"2024-06-24T06:01:48.501Z"
}
"""

DELETE_IDENTITY = """{
"identity":{
"external_id": "dfn-user-123"
},
"request_datetime":"2025-05-13T06:01:48.501Z"
}
"""

USER_PROFILE = """{
"identity": {
"external_id": "dfn-user-123"
},
"user_properties": {
"df_gender": "Female"
},
"request_datetime": "2024-05-14T06:05:46.363Z"
}
"""

EVENTS = """{
"common": {
"identity": {
"external_id": "dfn-user-123",
"email": "user@example.com"
}
},
"events": [
{
"event_log_id": "b0c9cf18-f3c0-4879-bb2e-92c65858dabc",
"event_name": "df_login",
"event_datetime": "2024-06-24T06:01:48.501Z",
"event_properties": null,
"event_items": null
},
{
"event_log_id": "464bc021-9c56-481e-8ee8-3bf06de7c418",
"event_name": "df_purchase",
"event_datetime": "2024-06-24T06:42:25.394Z",
"event_properties": {
"df_order_id": "dwtfmoe",
"df_delivery_charge": 1000,
"df_payment_method": "card",
"df_total_purchase_amount": 4000
},
"event_items": [
{
"df_item_id": "1",
"df_item_name": "item1",
"df_price": 3000,
"df_quantity": 1,
"df_discount": 0
}
]
}
]
}"""

EXPORT_EVENTS = """{
"events": ["df_purchase"],
"events_condition_type": "include",
"properties": ["df_discount", "df_items_df_price"],
"properties_condition_type": "include",
"from_date": "2024-08-25",
"to_date": "2024-08-26"
}"""

EXPORT_PROFILES = """{
"audience": "nwh3nu",
"properties_condition_type": "exclude",
"properties": [
"df_birth"
],
"identities": ["df_external_id"],
"identities_condition_type": "include"
}"""

OK_WITH_TEXT_CODE = b"""{
"status": true,
"code": "20000",
"message": "OK",
"data": true
}"""

OK_WITH_NUMBER_CODE = b"""{
"status": true,
"code": 20000,
"message": "OK",
"data": null
}"""

TOO_MANY_EVENTS = b"""{
"status": false,
"code": "40402",
"message": "TOO_MANY_EVENTS",
"data": true
}"""

VALIDATION_FAILURE = b"""{
"status": false,
"code": 40001,
"message": "VALIDATION_FAILURE",
"data": null
}"""

INTERNAL_SERVER_ERROR = b"""{
"status": false,
"code": 50000,
"message": "INTERNAL_SERVER_ERROR",
"data": null
}"""

EXPORT_DATE_RANGE = b"""{
"result": "fail",
"message": "exceed_date_range_limit"
}"""

EXPORT_UNKNOWN_ERROR = b"""{
"result": "fail",
"message": "unknown_error"
}"""

LIMIT_HEADERS = [
    ("x-ratelimit-limit", "1d"),
    ("x-ratelimit-remaining", "99999"),
    ("x-ratelimit-reset", "1682593200268"),
]

LIMIT_HEADERS_OF_429 = [
    ("x-ratelimit-limit", "1d"),
    ("x-ratelimit-remaining", "0"),
    ("x-ratelimit-reset", "1682640000000"),
]
