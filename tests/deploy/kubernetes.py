"""deploy/kubernetes and the chart in deploy/helm: rendered by kubectl and helm,
strictly validated against Kubernetes' own schemas, their gateway.toml read by the
gateway, and what they promise of probes, rights and times looked at.

    kubernetes.py WXGATE VENV TOOLS
"""

import pathlib
import sys
import tempfile

import yaml

from shipped import DEPLOY, check, drain_timeout, expect, operated, run, version

from served import ask

SECRETS = "/run/secrets/wxgate"
# The oldest that the preStop hook works with, and the newest whose schemas there are.
VERSIONS = ["1.30.0", "1.37.0"]


def validate(dir, venv, text):
    file = dir / "objects.yaml"
    file.write_text(text)
    for one in VERSIONS:
        run(venv / "bin/kubernetes-validate", "--strict", "--kubernetes-version", one, file)
    return list(yaml.safe_load_all(text))


def one(objects, kind):
    found = [thing for thing in objects if thing["kind"] == kind]
    expect(len(found) == 1, f"{len(found)} of {kind}")
    return found[0]


def check_objects(objects, dir, wxgate):
    """Gives the probes' paths."""
    config = one(objects, "ConfigMap")
    deployment = one(objects, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    container = pod["containers"][0]
    labels = deployment["template"]["metadata"]["labels"].items()
    for kind, selector in [
        ("Service", ["selector"]),
        ("PodDisruptionBudget", ["selector", "matchLabels"]),
        ("NetworkPolicy", ["podSelector", "matchLabels"]),
    ]:
        chosen = one(objects, kind)["spec"]
        for key in selector:
            chosen = chosen[key]
        expect(chosen and chosen.items() <= labels, f"{kind} chooses other pods: {chosen}")
    expect(deployment["selector"]["matchLabels"].items() <= labels, "the deployment does not choose its own pods")
    expect(
        deployment["replicas"] == 2 and one(objects, "PodDisruptionBudget")["spec"]["minAvailable"] == 1,
        "not two, of which one stays",
    )

    # What gateway.toml says fits the pod.
    meant = check(config["data"]["gateway.toml"], dir, wxgate, SECRETS)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expect(meant["server"]["listen"] == [f"0.0.0.0:{ports['http']}"], "listens elsewhere")
    expect(meant["server"]["admin_listen"] == f"0.0.0.0:{ports['admin']}", "the probes ask elsewhere")
    expect("redis" in meant["store"]["kind"], "two pods that share nothing")
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    expect(volumes[mounts["/etc/wxgate"]["name"]]["configMap"]["name"] == config["metadata"]["name"], "another ConfigMap")
    expect(volumes[mounts[SECRETS]["name"]]["secret"]["secretName"] == "wxgate", "another Secret")
    expect(container["image"] == f"wxgate:{version()}", container["image"])
    stop = container["lifecycle"]["preStop"]["sleep"]["seconds"] + drain_timeout(meant)
    expect(pod["terminationGracePeriodSeconds"] > stop + 5, "a pod is killed while it drains")

    # Pod Security Standards, "restricted", and a root that is not written to.
    rights = container["securityContext"]
    expect(rights["allowPrivilegeEscalation"] is False and rights["capabilities"] == {"drop": ["ALL"]}, f"rights: {rights}")
    expect(
        rights["readOnlyRootFilesystem"] is True and pod["securityContext"]["runAsNonRoot"] is True,
        "root, or a root that is written to",
    )
    expect(pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, "no seccomp profile")
    expect(pod["automountServiceAccountToken"] is False, "a token for Kubernetes")
    # Nobody reaches the gateway whom the policy does not name.
    rules = one(objects, "NetworkPolicy")["spec"]["ingress"]
    expect(
        [[port["port"] for port in rule["ports"]] for rule in rules] == [[ports["http"]], [ports["admin"]]],
        "other ports are open",
    )
    expect(all(rule["from"] and all(peer for peer in rule["from"]) for rule in rules), "open to all")
    expect(
        all(port["targetPort"] == "http" for port in one(objects, "Service")["spec"]["ports"]),
        "the admin port is published",
    )
    return [container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")], pod


def check_probes(probes, dir, wxgate):
    """The gateway answers the probes' paths."""
    gateway, admin = operated(wxgate, dir)
    for probe in probes:
        expect(probe["port"] == "admin", f"a probe at {probe}")
        answer = ask(f"http://127.0.0.1:{admin}{probe['path']}")
        expect(answer.status == 200, f"{probe['path']}: {answer.status}")
    expect(gateway.stop() == 0, "the gateway did not end well")


def check_app_policy(dir, venv, namespace, labels):
    policy = validate(dir, venv, (DEPLOY / "kubernetes/app-networkpolicy.yaml").read_text())[0]["spec"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    expect(
        peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": namespace},
        "another namespace reaches the app",
    )
    expect(
        peer["podSelector"]["matchLabels"].items() <= labels.items() and peer["podSelector"]["matchLabels"],
        "others reach the app",
    )


def main():
    wxgate, venv, tools = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    chart = DEPLOY / "helm/wxgate"
    with tempfile.TemporaryDirectory(prefix="wxgate-kubernetes-") as name:
        dir = pathlib.Path(name)
        # What is looked for must be found when it is there.
        (dir / "wrong.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {prots: []}\n")
        run(venv / "bin/kubernetes-validate", "--strict", dir / "wrong.yaml", fails=True)

        plain = validate(dir, venv, run(tools / "kubectl", "kustomize", DEPLOY / "kubernetes"))
        probes, pod = check_objects(plain, dir, wxgate)
        check_probes(probes, dir, wxgate)
        namespace = one(plain, "Namespace")["metadata"]["name"]
        expect(all(thing["metadata"].get("namespace", namespace) == namespace for thing in plain), "several namespaces")
        check_app_policy(dir, venv, namespace, one(plain, "Deployment")["spec"]["template"]["metadata"]["labels"])
        (secret,) = validate(dir, venv, (DEPLOY / "kubernetes/secret.yaml").read_text())
        expect(not any(secret["stringData"].values()), "a secret in the repository")
        print("kubernetes: valid, the gateway reads its file and answers its probes")

        run(tools / "helm", "lint", "--strict", chart)
        helm = lambda *more, **options: run(
            tools / "helm", "template", "wxgate", chart, "--namespace", "wxgate", *more, **options
        )
        rendered = validate(dir, venv, helm())
        probes, of_chart = check_objects(rendered, dir, wxgate)
        # One truth: the pod of the chart is the pod of deploy/kubernetes.
        for thing in (pod, of_chart):
            thing["containers"][0].pop("imagePullPolicy", None)
            for volume in thing["volumes"]:
                volume.get("configMap", {}).pop("name", None)
            for spread in thing["topologySpreadConstraints"]:
                spread.pop("labelSelector")
        expect(pod == of_chart, f"the chart's pod differs:\n{pod}\n{of_chart}")
        told = yaml.safe_load((chart / "Chart.yaml").read_text())
        expect(told["appVersion"] == version(), "the chart is of another version")
        for wrong in [
            "replicas=0",
            "replica=3",
            "secretName=",
            "networkPolicy.visitors=null",
            "networkPolicy=null",
            "networkPolicy.visitors[0]=all",
            "image.pullPolicy=Sometimes",
        ]:
            helm("--set", wrong, fails=True)
        # Nor without the schema does an empty list let everybody in.
        helm("--skip-schema-validation", "--set", "networkPolicy.visitors=null", fails=True)
        other = validate(
            dir,
            venv,
            helm(
                "--set",
                "replicas=1,networkPolicy.enabled=false,service.type=NodePort,nodeSelector.disk=ssd,pullSecrets[0].name=x",
            ),
        )
        kinds = {thing["kind"] for thing in other}
        expect(not kinds & {"NetworkPolicy", "PodDisruptionBudget"}, f"{kinds}")
        print("helm: the chart renders to the same pod, and refuses values that it does not know")


if __name__ == "__main__":
    main()
