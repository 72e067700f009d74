def call(instances, **_):
    for it in instances:
        address = {"socket_address": {"address": it["address"], "port_value": it["port"]}}
        yield {
            "name": it["name"],
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": {
                "cluster_name": it["name"],
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
