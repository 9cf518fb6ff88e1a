// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// RetryPolicy bounds how a call is tried again.
type RetryPolicy struct {
	// Tries in all, at least 1.
	Tries uint
	// First and Longest pause between two tries; it doubles, with jitter.
	First   time.Duration
	Longest time.Duration
}

// DefaultRetry rides out a short disturbance: five tries within some ten seconds.
func DefaultRetry() RetryPolicy {
	return RetryPolicy{Tries: 5, First: 250 * time.Millisecond, Longest: 5 * time.Second}
}

// Retry tries calls again by the class of their error: a transient failure if
// the call may be sent twice, throttling and lack of room if nothing was
// started. All other errors are final at once.
func Retry(p RetryPolicy) Interceptor {
	return func(ctx context.Context, call *Call, next func(context.Context) error) error {
		var last error
		try := func() (struct{}, error) {
			last = next(ctx)
			if last != nil && !again(call, ClassOf(last)) {
				return struct{}{}, backoff.Permanent(last)
			}
			return struct{}{}, last
		}
		pauses := backoff.NewExponentialBackOff()
		pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = p.First, p.Longest, 2
		_, err := backoff.Retry(ctx, try, backoff.WithBackOff(pauses), backoff.WithMaxTries(max(1, p.Tries)), backoff.WithMaxElapsedTime(0))
		if err == nil {
			return nil
		}
		return last // without the library's wrapping, and not the context's error
	}
}

func again(call *Call, class Class) bool {
	switch class {
	case ClassTransient:
		return call.Idempotent
	case ClassThrottled, ClassCapacity:
		return call.Verb != "run" || call.Idempotent || call.Started == 0
	}
	return false
}
