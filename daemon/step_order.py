"""The order in which things that need each other can be done, stable in the order in which they were declared."""

import heapq
from collections.abc import Mapping, Sequence


def ordered(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The keys of `needs`, each after all that it needs, else as declared; those on or behind a cycle are left out."""
    names = list(needs)
    missing = {name: set(wanted) for name, wanted in needs.items()}
    waiting: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        for need in missing[name]:
            waiting.setdefault(need, []).append(place)
    ready = [place for place, name in enumerate(names) if not missing[name]]
    done: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        done.append(name)
        for place in waiting.get(name, ()):
            missing[names[place]].discard(name)
            if not missing[names[place]]:
                heapq.heappush(ready, place)
    return done


def cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The names of one cycle, each needing the next; empty when there is none."""
    free = set(ordered(needs))
    stuck = {name: wanted for name, wanted in needs.items() if name not in free}
    if not stuck:
        return []
    path: dict[str, None] = {}
    name = next(iter(stuck))
    while name not in path:
        path[name] = None
        name = next(need for need in stuck[name] if need in stuck)
    names = list(path)
    return names[names.index(name) :]
