import { serve } from "@superfasttt/connector";
import { tracker } from "./tracker.js";

serve(tracker);
