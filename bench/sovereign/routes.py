def call(instances, **_):
    yield {
        "name": "public",
        "virtual_hosts": [
            {
                "name": it["name"],
                "domains": [it["hostname"]],
                "response_headers_to_add": [
                    {
                        "header": {"key": "x-mark", "value": it["mark"]},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                ],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": it["name"]}}],
            }
            for it in instances
        ],
    }
