"""Chromium, with a profile for each kind of visitor, walks through all that the
gateway does for them, over https and at names of their own.

    profiles.py WXGATE SCREENSHOTS [WALK…]
"""

import pathlib
import sys
import tempfile

import environments
import hosts
import kinds
import oauth_apps
import paying
import proxied
import unhappy
from world import World

WALKS = [hosts, proxied, environments, paying, oauth_apps, kinds, unhappy]


def main():
    screenshots = pathlib.Path(sys.argv[2])
    screenshots.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[3:]
    walks = [walk for walk in WALKS if not wanted or walk.__name__ in wanted]
    with tempfile.TemporaryDirectory(prefix="wxgate-browser-", ignore_cleanup_errors=True) as name:
        named = [host for walk in WALKS for host in walk.HOSTS]
        callbacks = [host for walk in WALKS for host in walk.CALLBACKS]
        world = World(sys.argv[1], pathlib.Path(name), screenshots, named, callbacks)
        for walk in walks:
            walk.walk(world)
        world.stop()


if __name__ == "__main__":
    main()
