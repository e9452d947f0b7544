# SPDX-License-Identifier: BSD-3-Clause
"""Checks of Kubernetes manifests without Kubernetes: of the objects that the examples use, every field that may stand where, and what
has to agree with what. A field that is not in the table is refused, as the API does with strict validation (kubectl apply does)."""
import json

STR, INT, BOOL, MAP = "string", "integer", "boolean", "map of strings"
META = {"name": STR, "namespace": STR, "labels": MAP, "annotations": MAP}
SELECTOR = {"matchLabels": MAP}
ENV = {"name": STR, "value": STR}
RESOURCES = {"requests": MAP, "limits": MAP}
CONTAINER = {"name": STR, "image": STR, "command": [STR], "args": [STR], "env": [ENV], "resources": RESOURCES,
             "readinessProbe": {"exec": {"command": [STR]}, "periodSeconds": INT, "timeoutSeconds": INT},
             "securityContext": {"privileged": BOOL, "allowPrivilegeEscalation": BOOL, "capabilities": {"add": [STR], "drop": [STR]}},
             "volumeMounts": [{"name": STR, "mountPath": STR, "readOnly": BOOL}]}
POD = {"nodeSelector": MAP, "hostNetwork": BOOL, "automountServiceAccountToken": BOOL, "subdomain": STR, "restartPolicy": STR,
       "tolerations": [{"key": STR, "operator": STR, "value": STR, "effect": STR}],
       "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": STR, "labelSelector": SELECTOR}]}},
       "initContainers": [CONTAINER], "containers": [CONTAINER],
       "volumes": [{"name": STR, "hostPath": {"path": STR, "type": STR}, "emptyDir": {"medium": STR, "sizeLimit": STR}}]}
TEMPLATE = {"metadata": META, "spec": POD}
PEER = {"podSelector": SELECTOR, "namespaceSelector": SELECTOR}
PORT = {"protocol": STR, "port": INT}
KINDS = {
    ("v1", "Namespace"): None,
    ("v1", "Service"): {"clusterIP": STR, "publishNotReadyAddresses": BOOL, "selector": MAP, "ports": [PORT]},
    ("apps/v1", "DaemonSet"): {"selector": SELECTOR, "template": TEMPLATE},
    ("batch/v1", "Job"): {"completions": INT, "parallelism": INT, "completionMode": STR, "backoffLimit": INT, "template": TEMPLATE},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"podSelector": SELECTOR, "policyTypes": [STR],
                                                "ingress": [{"from": [PEER], "ports": [PORT]}],
                                                "egress": [{"to": [PEER], "ports": [PORT]}]},
    ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition"): {"config": STR},
}
ONE_OF = {"restartPolicy": {"Never", "OnFailure", "Always"}, "operator": {"Exists", "Equal"}, "medium": {"", "Memory"},
          "effect": {"NoSchedule", "NoExecute", "PreferNoSchedule"}, "completionMode": {"Indexed", "NonIndexed"},
          "protocol": {"TCP", "UDP", "SCTP"}, "type": {"", "Directory", "DirectoryOrCreate", "CharDevice", "Socket", "File"}}
CNI = {"host-device": {"type", "device", "ipam"}, "tuning": {"type", "mtu", "sysctl"}}


def fields(value, shape, where, wrong):
    """Is @value of @shape? What is not goes to the list @wrong."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            wrong.append(f"{where}: a list is wanted")
            return
        for i, one in enumerate(value):
            fields(one, shape[0], f"{where}[{i}]", wrong)
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            wrong.append(f"{where}: an object is wanted")
            return
        for key, one in value.items():
            if key not in shape:
                wrong.append(f"{where}.{key}: no such field")
            else:
                fields(one, shape[key], f"{where}.{key}", wrong)
                if key in ONE_OF and isinstance(one, str) and one not in ONE_OF[key]:
                    wrong.append(f"{where}.{key}: {one}")
    elif shape == MAP:
        if not isinstance(value, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
            wrong.append(f"{where}: strings are wanted")
    elif not isinstance(value, {STR: str, INT: int, BOOL: bool}[shape]) or (shape == INT and isinstance(value, bool)):
        wrong.append(f"{where}: {shape} is wanted")


def pod(template, where, wrong):
    """What has to agree within a pod."""
    spec = template.get("spec", {})
    volumes = {v["name"] for v in spec.get("volumes", [])}
    used = set()
    for c in spec.get("initContainers", []) + spec.get("containers", []):
        for needed in ("name", "image", "command", "resources"):
            if needed not in c:
                wrong.append(f"{where}: container {c.get('name')} without {needed}")
        names = [e["name"] for e in c.get("env", [])]
        if len(names) != len(set(names)):
            wrong.append(f"{where}: a variable is set twice")
        for mount in c.get("volumeMounts", []):
            used.add(mount["name"])
            if mount["name"] not in volumes:
                wrong.append(f"{where}: volume {mount['name']} is mounted and not there")
        for kind in ("requests", "limits"):
            for name in c.get("resources", {}).get(kind, {}):
                if "/" in name and name not in c["resources"].get("limits", {}):
                    wrong.append(f"{where}: an extended resource ({name}) has to be in the limits")
    if volumes - used:
        wrong.append(f"{where}: volumes that nobody mounts: {volumes - used}")
    if not spec.get("containers"):
        wrong.append(f"{where}: no containers")


def cni(text, where, wrong):
    try:
        config = json.loads(text)
    except ValueError as err:
        wrong.append(f"{where}: {err}")
        return
    if set(config) != {"cniVersion", "name", "plugins"} or not config["plugins"]:
        wrong.append(f"{where}: cniVersion, name and plugins are wanted")
        return
    for plugin in config["plugins"]:
        known = CNI.get(plugin.get("type"))
        if known is None or not set(plugin) <= known:
            wrong.append(f"{where}: plugin {plugin}")


def check(thing):
    """All that is wrong with an object of a manifest."""
    wrong = []
    kind = (thing.get("apiVersion"), thing.get("kind"))
    where = f"{kind[1]}/{thing.get('metadata', {}).get('name')}"
    if kind not in KINDS:
        return [f"{where}: apiVersion {kind[0]}, kind {kind[1]}"]
    shape = {"apiVersion": STR, "kind": STR, "metadata": META}
    if KINDS[kind]:
        shape["spec"] = KINDS[kind]
    fields(thing, shape, where, wrong)
    if not thing.get("metadata", {}).get("name") or (KINDS[kind] and "spec" not in thing):
        wrong.append(f"{where}: name and spec are wanted")
    if wrong:
        return wrong
    spec = thing.get("spec", {})
    if "template" in spec:
        pod(spec["template"], where, wrong)
        labels = spec["template"]["metadata"].get("labels", {})
        if kind[1] == "DaemonSet" and not spec["selector"]["matchLabels"].items() <= labels.items():
            wrong.append(f"{where}: the selector does not match the template's labels")
        if kind[1] == "Job" and spec["template"]["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
            wrong.append(f"{where}: a job's pods want restartPolicy Never or OnFailure")
    if kind[1] == "NetworkAttachmentDefinition":
        cni(spec["config"], where, wrong)
    if kind[1] == "NetworkPolicy" and set(spec["policyTypes"]) != {t.capitalize() for t in ("ingress", "egress") if t in spec}:
        wrong.append(f"{where}: policyTypes and what is there differ")
    return wrong
