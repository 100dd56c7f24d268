"""Mixed load: threads that change and read their things until told to stop or until the server is gone."""

from __future__ import annotations

import threading
import time
from random import Random

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError

from bench import story
from tests.crash.book import UNAVAILABLE, Book
from tests.crash.things import Hands, Thing, things_of

OWNERS = 4
UPLOAD_SECONDS = 0.4
"""How often a new application is uploaded that starts the pipeline."""
NOT_DONE = frozenset({"OperationAborted", "ConcurrentModificationException", "ConcurrentModification"})


class Load:
    """The clients. Their things outlive the rounds."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._hands = [Hands(book) for _ in range(OWNERS + 1)]
        self._things = [things_of(owner) for owner in range(OWNERS)]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.server_may_be_gone = False
        """Set before the server is killed: from then on a broken connection is no fault."""
        self.writer_may_be_gone = False
        """Set before its writer is killed: from then on a read may be cut off, for it could not be recorded."""

    def begin(self, seed: str) -> None:
        """Start everybody; `seed` decides what they do."""
        self._stop.clear()
        self.server_may_be_gone = self.writer_may_be_gone = False
        jobs = [(self._work, owner) for owner in range(OWNERS)] + [(self._upload, OWNERS)]
        self._threads = [
            threading.Thread(target=job, args=(owner, Random(f"{seed}/{owner}")), daemon=True) for job, owner in jobs
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> int:
        """Stop everybody; how many things are in doubt."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return sum(thing.in_doubt for things in self._things for thing in things)

    def settle(self) -> int:
        """Look at everything, by all hands at once; the number of things looked at. Faults go into the book."""
        threads = [threading.Thread(target=self._settle, args=(owner,)) for owner in range(OWNERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(map(len, self._things))

    def _settle(self, owner: int) -> None:
        for thing in self._things[owner]:
            try:
                fault = thing.settle(self._hands[owner])
            except (BotoCoreError, ClientError) as error:
                fault = f"{thing.kind} {thing.name} cannot be read: {error}"
            if fault:
                self._book.fault(fault)

    def _work(self, owner: int, random: Random) -> None:
        hands, things = self._hands[owner], self._things[owner]
        while not self._stop.is_set():
            thing = random.choice(things)
            if not self._touch(thing, hands, random):
                return

    def _touch(self, thing: Thing, hands: Hands, random: Random) -> bool:
        """One change or look; False when the server is gone."""
        try:
            if random.random() < 0.6:
                thing.change(hands, random)
            elif fault := thing.settle(hands):
                self._book.fault(f"while running: {fault}")
        except ClientError as error:
            thing.unchanged()
            self._judge(error, f"{thing.kind} {thing.name}")
        except BotoCoreError as error:
            return self._goes_on(error, thing.name)
        return True

    def _upload(self, owner: int, random: Random) -> None:
        s3 = self._hands[owner].s3
        while not self._stop.wait(UPLOAD_SECONDS * random.random() * 2):
            body = story.application(f"page {random.getrandbits(64)} of {time.time()}")
            try:
                s3.put_object(Bucket=story.SOURCE, Key=story.KEY, Body=body)
            except ClientError as error:
                self._judge(error, "upload")
            except BotoCoreError as error:
                if not self._goes_on(error, "upload"):
                    return

    def _judge(self, error: ClientError, what: str) -> None:
        """A call that the server says did not happen is no fault; any other refusal is one."""
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == UNAVAILABLE:
            return
        if error.response["Error"]["Code"] not in NOT_DONE:
            self._book.fault(f"{what} was refused: {error}")

    def _goes_on(self, error: BotoCoreError, what: str) -> bool:
        """Whether there is still a server to go on with; a broken connection is a fault if nobody was killed."""
        if self.writer_may_be_gone and isinstance(error, (IncompleteReadError, ResponseStreamingError)):
            return True
        if not self.server_may_be_gone:
            self._book.fault(f"{what}: the connection broke while the server was alive: {error}")
        return False
