package mongoagg

/*
What stands in a stored document beside the Dashboard's fields, under the field sluice. Rebuilds and retention keep to it.

	pos.<lineage>  position string: everything of the lineage below it is counted here
	rev            goes up with every change of the counters
	derived        the rev that the derived fields rest on
	dirty          true while the derived fields are behind; absent otherwise (sparse index)
	bytes          what the maps take, from above; exact after each derivation
	adopted        _id of the incumbent's document whose counters were taken over; its counters as they were lie in
	               sluice_aggregate_bases under {collection, id}
	adopting       the same _id, until that document is deleted

Why every update is an upsert. A miss must show by index in an unordered bulk write, and the count of matches is only a
total; an upsert that finds no match tries to insert the _id, and a document that is there refuses. When the document is
gone the insert passes, whatever position was expected. That is sound for one that expired: what comes is counted for the
first time, and what was in it is gone for good with its expiry; every update sets organisation, time and names, so that
it is complete. Whoever empties a document for another reason (a rollup) leaves its _id and positions, and raises rev and
derived, so that a late update misses or adds what is new, and late derived fields do not come back. An update that was
given up may still land later: it expects positions that have moved since, and misses. That is why positions are read
again, with majority, after every outcome that is not known.

What a sink does not know of the store it may forget at any time: it reads positions before the next update. A stream is
asked for again only when a document has part of what was folded together, so that it cannot be taken apart.

Of an API's name and a key's alias the last one written stays; within one delta it is that of the latest record. Two
pumps that meet different names for one API in one hour leave either.
*/
