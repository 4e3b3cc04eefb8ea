package archive

import (
	"fmt"
	"time"
)

// timeLayout is RFC 3339 with all nine digits, in UTC: it sorts as the times do.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// Seconds of the beginning of the year 1, of 1970, and of the end of the year 9999. From 1970 on a time is written digit by
// digit.
const (
	firstTime  = -62135596800
	quickTimes = 0
	slowTimes  = 253402300800
)

const digitPairs = "0001020304050607080910111213141516171819" +
	"2021222324252627282930313233343536373839" +
	"4041424344454647484950515253545556575859" +
	"6061626364656667686970717273747576777879" +
	"8081828384858687888990919293949596979899"

// appendTime writes a time in UTC, nothing for the zero time. A year that RFC 3339 cannot hold is written as
// @<unix seconds>.<nanoseconds>, so that it still reads back.
func appendTime(dst []byte, t time.Time) []byte {
	sec := t.Unix()
	if sec >= quickTimes && sec < slowTimes {
		return appendUnix(dst, sec, t.Nanosecond())
	}
	t = t.UTC()
	if t.IsZero() {
		return dst
	}
	if y := t.Year(); y < 0 || y > 9999 {
		return fmt.Appendf(dst, "@%d.%09d", t.Unix(), t.Nanosecond())
	}
	return t.AppendFormat(dst, timeLayout)
}

// appendUnix writes a time as timeLayout has it.
func appendUnix(dst []byte, sec int64, nsec int) []byte {
	days, rest := uint32(sec/86400), uint32(sec%86400)
	year, month, day := civil(days)
	b := [len(timeLayout)]byte{4: '-', 7: '-', 10: 'T', 13: ':', 16: ':', 19: '.', len(timeLayout) - 1: 'Z'}
	two := func(at int, n uint32) { copy(b[at:at+2], digitPairs[2*n:2*n+2]) }
	two(0, year/100)
	two(2, year%100)
	two(5, month)
	two(8, day)
	two(11, rest/3600)
	two(14, rest/60%60)
	two(17, rest%60)
	n := uint32(nsec)
	b[28] = byte('0' + n%10)
	n /= 10
	for at := 26; at >= 20; at -= 2 {
		two(at, n%100)
		n /= 100
	}
	return append(dst, b[:]...)
}

// civil is the date of a day since 1970-01-01. Years begin in March in it, so that a leap day is a year's last: the rule is
// that of http://howardhinnant.github.io/date_algorithms.html#civil_from_days.
func civil(days uint32) (year, month, day uint32) {
	z := days + 719468
	era := z / 146097
	doe := z % 146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = doy - (153*mp+2)/5 + 1
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}
